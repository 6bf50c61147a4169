"""Several model servers: the one with least waiting works, a dead one is left alone, a sick one found out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import numpy as np
import pytest
import redis

from contracts.errors import ModelServerUnavailable
from jobstore import keys
from tests.conftest import free_port
from tests.integration.workers.scene import eventually
from tests.support.torchserve import FakeTorchServe
from workers.inference import replicas as replicas_module
from workers.inference.canary import canary_request
from workers.inference.model_server import BatchRefused
from workers.inference.prediction import PredictRequest
from workers.inference.replicas import Replicas, addresses_of
from workers.inference.requests_in_flight import RequestsInFlight

pytestmark = pytest.mark.integration
Make = Callable[..., Replicas]


@pytest.fixture
def two() -> Iterator[tuple[FakeTorchServe, FakeTorchServe]]:
    with FakeTorchServe() as one, FakeTorchServe() as other:
        yield one, other


@pytest.fixture
def client(redis_client: redis.Redis) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(*urls: str, seconds: float = 60) -> Replicas:
            client = Replicas(urls, timeout_seconds=seconds, shared=redis_client)
            return stack.enter_context(closing(client))

        yield make


def volumes(count: int) -> PredictRequest:
    return PredictRequest.of_slices(np.full((count, 32, 208, 176), 9, np.uint8))


def test_idle_replicas_take_turns(two: tuple[FakeTorchServe, ...], client: Make) -> None:
    replicas = client(*(server.url for server in two))
    for _ in range(6):
        replicas.predict(volumes(1))
    assert [len(server.sizes) for server in two] == [3, 3]


def test_every_process_sees_what_the_others_wait_for(
    two: tuple[FakeTorchServe, ...], client: Make, redis_client: redis.Redis
) -> None:
    ours, theirs = client(*(server.url for server in two)), RequestsInFlight(redis_client, entry_seconds=70)
    with theirs.least_waiting([server.url for server in two], volumes=4) as taken:
        waiting = next(server for server in two if server.url == taken)
        idle = next(server for server in two if server.url != taken)
        for _ in range(4):
            ours.predict(volumes(1))
        assert (len(waiting.sizes), len(idle.sizes)) == (0, 4)
    ours.predict(volumes(1))
    ours.predict(volumes(1))
    assert len(waiting.sizes) == 1


def test_a_request_counts_by_its_volumes_while_it_runs(
    two: tuple[FakeTorchServe, ...], client: Make, redis_client: redis.Redis
) -> None:
    for server in two:
        server.mode = "hang"
    replicas = client(*(server.url for server in two))
    thread = threading.Thread(target=replicas.predict, args=(volumes(3),))
    thread.start()
    eventually(lambda: redis_client.keys(keys.asked("*")))
    (key,) = redis_client.keys(keys.asked("*"))
    assert redis_client.zrange(key, 0, -1)[0].endswith(":3")
    for server in two:
        server.released.set()
    thread.join(60)
    assert redis_client.keys(keys.asked("*")) == []


def test_a_dead_replica_costs_no_answer_and_is_left_alone(
    two: tuple[FakeTorchServe, ...], client: Make
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    replicas = client(dead, two[0].url)
    for _ in range(8):
        assert len(replicas.predict(volumes(2))) == 2
    assert replicas.all[0].breaker.failures == 3, "asked three times, then not again"
    assert replicas.allowance(4) == 4
    replicas.all[0].breaker.pause_seconds = 0.0
    replicas.predict(volumes(1))
    replicas.predict(volumes(1))
    assert replicas.all[0].breaker.failures == 4, "one trial after the pause"


def test_all_dead_is_said_and_stops_the_claims(client: Make) -> None:
    replicas = client(*(f"http://127.0.0.1:{free_port()}" for _ in range(2)))
    for _ in range(4):
        with pytest.raises(ModelServerUnavailable):
            replicas.predict(volumes(1))
    assert replicas.allowance(4) == 0
    with pytest.raises(ModelServerUnavailable):
        replicas.predict_on_all(canary_request())


def test_the_control_goes_to_the_replica_that_refused(two: tuple[FakeTorchServe, ...], client: Make) -> None:
    sick, well = two
    sick.mode = "500"
    replicas = client(sick.url, well.url)
    refused = 0
    for _ in range(4):
        try:
            replicas.predict(volumes(1))
        except BatchRefused:
            refused += 1
            assert not replicas.passes_canary(canary_request(), wait_seconds=0)
    assert refused == 2
    sick.mode = "ok"
    assert replicas.predict_on_all(canary_request()).engine == "fake"
    assert [replica.breaker.failures for replica in replicas.all] == [0, 0]


def test_without_the_shared_counts_they_take_turns(two: tuple[FakeTorchServe, ...]) -> None:
    away = redis.Redis(port=free_port(), socket_connect_timeout=0.2)
    with closing(Replicas([s.url for s in two], timeout_seconds=60, shared=away)) as replicas:
        for _ in range(4):
            replicas.predict(volumes(1))
    assert [len(server.sizes) for server in two] == [2, 2]
    away.close()


def test_replicas_behind_a_name_come_and_go(
    two: tuple[FakeTorchServe, ...], client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a headless service: the name has the addresses of those that are ready."""
    urls = [server.url for server in two]
    there = urls[:1]
    monkeypatch.setattr(replicas_module, "addresses_of", lambda _: there)
    monkeypatch.setattr(replicas_module, "_RESOLVE_SECONDS", 0.0)
    replicas = client("http://model-server:8080")
    (stays,) = replicas.all
    stays.breaker.failed()
    there.append(urls[1])
    assert replicas.allowance(4) == 4
    assert [replica.url for replica in replicas.all] == urls
    assert replicas.all[0] is stays, "with its breaker"
    there.pop(0)
    replicas.allowance(4)
    assert len(replicas.predict(volumes(1))) == 1
    assert len(two[1].sizes) == 1


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (["10.0.0.2", "10.0.0.1", "10.0.0.2"], ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]),
        (["10.0.0.1"], ["http://models:8080"]),
        ([], ["http://models:8080"]),
    ],
    ids=["several", "one", "no such name"],
)
def test_a_name_is_split_only_where_it_has_several_addresses(
    monkeypatch: pytest.MonkeyPatch, numbers: list[str], expected: list[str]
) -> None:
    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert (host, port) == ("models", 8080)
        if not numbers:
            raise socket.gaierror("unknown")
        return [(2, 1, 6, "", (number, port)) for number in numbers]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert addresses_of(["http://models:8080"]) == expected
