"""One score a job: only guilty volumes fail, whatever their places; a sick server fails nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.covariates import Covariates
from contracts.errors import ModelRefused, ModelServerUnavailable
from contracts.job import Claim
from contracts.stack import Stack
from contracts.states import Stage
from runtime.blobs import BlobStore
from workers.inference.batch_scorer import BatchScorer, Score, StackMissing
from workers.inference.model_server import BatchRefused, StackUnreadable
from workers.inference.prediction import PredictRequest, VolumeInput
from workers.inference.spans import BatchSpans


class Answer:
    """What the server below says of a volume."""

    started = 0.0

    def __init__(self, volume: VolumeInput, version: str = "") -> None:
        self.stack, self.version, self.covariates = volume.stack_blob, version, volume.covariates


class Server:
    """Refuses any request that holds a guilty stack; keeps the requests."""

    def __init__(self, *guilty: str, healthy: bool = True, reads: bool = True) -> None:
        self.guilty, self.healthy, self.reads = set(guilty), healthy, reads
        self.requests: list[PredictRequest] = []
        self.canaries: list[str] = []

    def predict(self, request: PredictRequest) -> list[Answer]:
        self.requests.append(request)
        if request.names_stacks and not self.reads:
            raise StackUnreadable("no such file")
        if self.guilty & {volume.stack_blob for volume in request.volumes}:
            raise BatchRefused("HTTP 500")
        return [Answer(volume, request.model_version) for volume in request.volumes]

    def passes_canary(self, request: PredictRequest, *, wait_seconds: float) -> bool:
        assert wait_seconds == 20
        self.canaries.append(request.model_version)
        return self.healthy


def scored(server: object, count: int) -> list[Score]:
    request = PredictRequest([VolumeInput(str(n)) for n in range(count)], "m")
    scorer = BatchScorer(server, blobs=None)  # type: ignore[arg-type]
    return scorer.score_request(request, BatchSpans([]))


@given(st.integers(1, 16).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_exactly_the_guilty_fail(case: tuple[int, set[int]]) -> None:
    n, guilty = case
    server = Server(*map(str, guilty))
    for i, score in enumerate(scored(server, n)):
        assert isinstance(score, ModelRefused) if i in guilty else score.stack == str(i)
    assert len(server.requests) <= 2 * n - 1
    assert {request.model_version for request in server.requests} == {"m"}
    assert set(server.canaries) <= {"m"}


def test_a_whole_batch_is_one_request_and_a_good_answer_needs_no_canary() -> None:
    server = Server()
    scored(server, 8)
    assert (len(server.requests), server.canaries) == (1, [])


def test_a_server_that_fails_the_canary_blames_nobody() -> None:
    assert [type(score) for score in scored(Server("2", healthy=False), 4)] == [ModelServerUnavailable] * 4


def test_a_server_that_goes_away_during_bisection_keeps_what_was_answered() -> None:
    class Going(Server):
        def predict(self, request: PredictRequest) -> list[Answer]:
            if len(self.requests) == 2:
                raise ModelServerUnavailable("HTTP 503")
            return super().predict(request)

    scores = scored(Going("2"), 4)
    assert [score.stack for score in scores[:2]] == ["0", "1"]
    assert all(isinstance(score, ModelServerUnavailable) for score in scores[2:])


def claim(job: str, **fields: str) -> Claim:
    return Claim(job, Stage.INFER, 1, {"id": job, "stack_blob": f"stacks/{job}.npz", **fields})


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path), reserve_bytes=0)


@pytest.fixture
def stored(blobs: BlobStore) -> Callable[[str], None]:
    def store(job: str) -> None:
        slices = np.full((32, 208, 176), 7, np.uint8)
        stack = Stack(slices, np.eye(4), (256, 256, 256), np.eye(4), {}, {})
        blobs.put(f"stacks/{job}.npz", stack.to_bytes())

    return store


def test_jobs_that_want_different_models_do_not_share_a_request(blobs: BlobStore) -> None:
    server = Server()
    claims = [claim("a"), claim("b", wanted_model="x"), claim("c")]
    scores = BatchScorer(server, blobs, reads_blobs=True).score(claims, BatchSpans([]))  # type: ignore[arg-type]
    assert [(scores[id_].stack, scores[id_].version) for id_ in "abc"] == [
        ("stacks/a.npz", ""), ("stacks/b.npz", "x"), ("stacks/c.npz", "")
    ]  # fmt: skip
    assert [len(request.volumes) for request in server.requests] == [2, 1]


def test_a_server_that_cannot_read_the_stacks_gets_their_bytes(
    blobs: BlobStore, stored: Callable[[str], None]
) -> None:
    stored("a")
    server = Server(reads=False)
    scores = BatchScorer(server, blobs, reads_blobs=True).score([claim("a")], BatchSpans([]))  # type: ignore[arg-type]
    assert scores["a"].stack == "stacks/a.npz"
    assert [request.names_stacks for request in server.requests] == [True, False]


@pytest.mark.parametrize("reads_blobs", [True, False])
def test_a_job_without_an_input_stops_no_other(
    blobs: BlobStore, stored: Callable[[str], None], reads_blobs: bool
) -> None:
    """Its record is damaged, or its stack is gone."""
    for job in ("a", "b", "d"):
        stored(job)
    claims = [claim("a"), claim("b", covariates="{"), claim("c"), claim("d")]
    scorer = BatchScorer(Server(), blobs, reads_blobs=reads_blobs)  # type: ignore[arg-type]
    scores = scorer.score(claims, BatchSpans([]))
    assert isinstance(scores["b"], StackMissing)
    assert isinstance(scores["c"], StackMissing) is not reads_blobs
    assert [scores[job].stack for job in "ad"] == ["stacks/a.npz", "stacks/d.npz"]


def test_a_batch_of_which_nothing_can_be_read_asks_nobody(blobs: BlobStore) -> None:
    server = Server()
    scores = BatchScorer(server, blobs).score([claim("a")], BatchSpans([]))  # type: ignore[arg-type]
    assert isinstance(scores["a"], StackMissing)
    assert isinstance(scores["a"].reason, FileNotFoundError)
    assert server.requests == []


def test_both_bodies_of_a_request() -> None:
    """All slices, then all covariates; or JSON that names the stacks. No covariates when none are known."""
    known = Covariates(age=71, mmse=15).row()
    slices = np.arange(32 * 208 * 176, dtype=np.uint32).astype(np.uint8).reshape(32, 208, 176)
    request = PredictRequest([VolumeInput("a", known, slices), VolumeInput("b", slices=slices[:, ::-1])])
    body = request.body()
    assert body[: slices.size] == slices.tobytes()
    assert body[slices.size : 2 * slices.size] == slices[:, ::-1].tobytes()
    row = np.frombuffer(body[2 * slices.size :], "<f4").reshape(2, 4)
    np.testing.assert_array_equal(row[0], np.array(known, np.float32))
    assert np.isnan(row[1]).all()
    assert len(PredictRequest([request.volumes[1]]).body()) == slices.size
    named = PredictRequest([VolumeInput("a", known), VolumeInput("b")])
    assert json.loads(named.body()) == {
        "stacks": ["a", "b"],
        "covariates": [[15, 71, None, None], [None] * 4],
    }
    assert json.loads(PredictRequest([VolumeInput("b")]).body()) == {"stacks": ["b"]}
