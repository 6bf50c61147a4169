"""Every order in which two workers, a reaper, a canceller and crashes can meet over one job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import redis

from contracts.job import Claim, Submission
from contracts.states import JobState, Stage
from jobstore import keys
from jobstore.result_cache import CacheEntry
from jobstore.store import JobStore, LeaseLost
from tests.integration.jobstore.store_model import losing_answers

pytestmark = pytest.mark.integration

LEASE = 5


@dataclass
class World:
    """One job of a site with one webhook endpoint, and what its workers believe."""

    job_store: JobStore
    stage: Stage
    claims: dict[str, Claim] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    def claim(self, worker: str) -> None:
        for claim in self.job_store.claim(self.stage, worker, lease_seconds=LEASE):
            self.claims[worker] = claim

    def claim_deaf(self, worker: str) -> None:
        """The claim is made, its answer is lost; the worker's next claim asks again."""
        with losing_answers(self.job_store), suppress(redis.ConnectionError):
            self.job_store.claim(self.stage, worker, lease_seconds=LEASE)

    def renew(self, worker: str) -> None:
        if worker in self.claims and not self.job_store.renew(self.claims[worker], lease_seconds=LEASE):
            del self.claims[worker]

    def commit(self, worker: str) -> None:
        """What a worker does that never heard of its loss."""
        claim = self.claims.pop(worker, None)
        if claim is None:
            return
        try:
            if self.stage is Stage.PREPROCESS:
                self.job_store.advance(claim, Stage.INFER, {"made_by": worker})
            else:
                entry = CacheEntry(keys.cached_result("x"), worker, 60)
                self.job_store.succeed(claim, {"result": "{}", "made_by": worker}, cache=entry)
        except LeaseLost:
            return
        self.commits.append(worker)

    def hand_back(self, worker: str) -> None:
        if claim := self.claims.pop(worker, None):
            try:
                self.job_store.release(claim, "stopped", counts=False)
            except LeaseLost:
                return

    def late_reap(self, _: str) -> None:
        """The lease's time passes, then the reaper comes."""
        self.job_store.now_ms += LEASE * 1000 + 1
        self.job_store.reap()

    def cancel(self, _: str) -> None:
        self.job_store.cancel("job_1")


Step = tuple[str, str]
"""(who, what)"""

A = [("A", "claim"), ("A", "renew"), ("A", "commit")]
DEAF = [("A", "claim_deaf"), ("A", "claim"), ("A", "commit")]
B = [("B", "claim"), ("B", "commit")]
STOPPED = [("B", "claim"), ("B", "hand_back")]
REAPER = [("R", "late_reap"), ("R", "late_reap")]
CANCELLER = [("C", "cancel")]


def interleavings(*scripts: list[Step]) -> Iterator[tuple[Step, ...]]:
    """All merges that keep each script's own order."""
    live = [script for script in scripts if script]
    if not live:
        yield ()
    for n, script in enumerate(live):
        rest = [*live[:n], script[1:], *live[n + 1 :]]
        for tail in interleavings(*rest):
            yield (script[0], *tail)


def crashing(script: list[Step]) -> list[list[Step]]:
    """The script, and every way it ends early by SIGKILL."""
    return [script[:n] for n in range(len(script) + 1)]


def fresh(client: redis.Redis, stage: Stage) -> World:
    client.flushdb()
    client.hset(keys.endpoints("a"), "whe_x", "{}")
    job_store = JobStore(client, now_ms=1_000_000)
    job_store.submit(
        Submission(
            id="job_1", site="a", content_digest="c", input_blob="inputs/a/1", size_bytes=1, media="nifti"
        )
    )
    if stage is Stage.INFER:
        (claim,) = job_store.claim(Stage.PREPROCESS, "earlier", lease_seconds=LEASE)
        job_store.advance(claim, Stage.INFER)
    return World(job_store, stage)


def check_end(world: World, schedule: tuple[Step, ...]) -> None:
    """Invariants after the schedule, and after honest workers and reapers have brought the job to an end."""
    job_store = world.job_store
    canceled = job_store.get("job_1").state is JobState.CANCELED
    assert len(world.commits) <= 1, schedule
    if world.commits:
        assert job_store.record("job_1")["made_by"] == world.commits[0], schedule
    for _ in range(8):
        job_store.now_ms += LEASE * 1000 + 1
        job_store.reap()
        for stage in (Stage.PREPROCESS, Stage.INFER):
            for claim in job_store.claim(stage, "honest", lease_seconds=LEASE):
                assert not (world.commits and stage is world.stage), schedule
                if stage is Stage.PREPROCESS:
                    job_store.advance(claim, Stage.INFER)
                else:
                    job_store.succeed(claim, {"result": "{}"})
    job = job_store.get("job_1")
    assert job.state is (JobState.CANCELED if canceled else JobState.SUCCEEDED), schedule
    assert [c.record["event"] for c in job_store.claim(Stage.DELIVER, "d", limit=9)] == [
        f"job.{job.state}"
    ], schedule
    assert job_store.redis.lrange(keys.PENDING_DELETIONS, 0, -1) == ["inputs/a/1"], schedule
    assert job_store.depth(world.stage) == job_store.running(world.stage) == 0, schedule
    if canceled and not world.commits:
        assert not job_store.redis.keys(keys.cached_result("x*")), schedule


def explore(client: redis.Redis, stage: Stage, scripts: Callable[[], Iterator[list[list[Step]]]]) -> int:
    seen = 0
    for chosen in scripts():
        for schedule in interleavings(*chosen):
            world = fresh(client, stage)
            for who, what in schedule:
                getattr(world, what)(who)
            check_end(world, schedule)
            seen += 1
    return seen


@pytest.mark.parametrize("stage", [Stage.PREPROCESS, Stage.INFER])
def test_two_workers_a_reaper_and_crashes(redis_client: redis.Redis, stage: Stage) -> None:
    def scripts() -> Iterator[list[list[Step]]]:
        for a in crashing(A):
            for b in (*crashing(B), STOPPED):
                yield [a, b, REAPER]

    assert explore(redis_client, stage, scripts) > 600


def test_a_worker_whose_answers_are_lost(redis_client: redis.Redis) -> None:
    def scripts() -> Iterator[list[list[Step]]]:
        for a in crashing(DEAF):
            yield [a, B, REAPER[:1], CANCELLER]

    assert explore(redis_client, Stage.INFER, scripts) > 400


def test_a_canceller_among_two_workers_and_a_reaper(redis_client: redis.Redis) -> None:
    def scripts() -> Iterator[list[list[Step]]]:
        for b in (B, STOPPED):
            yield [A, b, REAPER[:1], CANCELLER]

    assert explore(redis_client, Stage.INFER, scripts) > 700
