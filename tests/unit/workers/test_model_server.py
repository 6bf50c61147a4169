"""The client of the model server against a small real HTTP server: answers, refusals, absence."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import numpy as np
import pytest

from contracts.errors import ModelServerUnavailable
from tests.support.torchserve import DIGEST, POISON, FakeTorchServe
from workers.inference.canary import canary_request
from workers.inference.model_server import BatchRefused, ModelServer
from workers.inference.prediction import PredictRequest


@pytest.fixture
def client_of() -> Iterator[Callable[..., ModelServer]]:
    with ExitStack() as stack:
        yield lambda url, seconds=60.0: stack.enter_context(
            closing(ModelServer(url, timeout_seconds=seconds))
        )


def volumes(*levels: int) -> PredictRequest:
    stacks = [np.full((32, 208, 176), level, np.uint8) for level in levels]
    return PredictRequest.of_slices(np.stack(stacks))


def test_one_answer_per_volume_in_order(client_of: Callable[..., ModelServer]) -> None:
    with FakeTorchServe() as server:
        one, two = client_of(server.url).predict(volumes(10, 200))
    assert server.sizes == [2]
    assert one.probabilities[0] < two.probabilities[0]
    assert one.probabilities.sum() == pytest.approx(1)
    assert (one.interval.shape, one.maps.shape, one.slice_logits.shape) == ((3, 2), (32, 3, 7, 6), (32, 3))
    assert (one.digest, one.engine) == (DIGEST, "fake")


@pytest.mark.parametrize("status", ["400", "413", "500", "507"])
def test_statuses_that_may_be_the_requests_fault(client_of: Callable[..., ModelServer], status: str) -> None:
    with FakeTorchServe(mode=status) as server, pytest.raises(BatchRefused, match=status):
        client_of(server.url).predict(volumes(1))


@pytest.mark.parametrize("status", ["404", "429", "502", "503", "504"])
def test_statuses_of_a_server_that_is_away(client_of: Callable[..., ModelServer], status: str) -> None:
    with FakeTorchServe(mode=status) as server, pytest.raises(ModelServerUnavailable, match=status):
        client_of(server.url).predict(volumes(1))


def test_a_hang_is_refused_in_time(client_of: Callable[..., ModelServer]) -> None:
    with FakeTorchServe(mode="hang") as server, pytest.raises(BatchRefused, match="in time"):
        client_of(server.url, 0.2).predict(volumes(1))


def test_nobody_there(client_of: Callable[..., ModelServer]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(ModelServerUnavailable, match="ConnectError"):
            client_of(url).predict(volumes(1))


def test_an_answer_for_another_number_of_volumes_is_not_taken(
    client_of: Callable[..., ModelServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeTorchServe() as server:
        respond = server.respond
        monkeypatch.setattr(server, "respond", lambda path, body: (200, respond(path, body)[1][:-40]))
        with pytest.raises(ModelServerUnavailable, match="another format than ours"):
            client_of(server.url).predict(volumes(1))


def test_a_server_that_restarts_between_requests_is_met_again(client_of: Callable[..., ModelServer]) -> None:
    with FakeTorchServe() as first:
        client = client_of(first.url)
        client.predict(canary_request())
    with FakeTorchServe(port=first.port):
        assert len(client.predict(canary_request())) == 1


def test_a_dead_letter_marks_only_its_batch(client_of: Callable[..., ModelServer]) -> None:
    with FakeTorchServe() as server:
        client = client_of(server.url)
        with pytest.raises(BatchRefused):
            client.predict(volumes(3, POISON))
        assert len(client.predict(volumes(3))) == 1
