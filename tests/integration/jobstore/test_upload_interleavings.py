"""Every order in which a late submit, its settling, a repetition, a worker and the collector can meet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import redis

from contracts.errors import JobStoreUnavailable
from contracts.job import Job, Submission
from contracts.states import JobState, Stage
from jobstore import keys
from jobstore.store import JobStore
from tests.integration.jobstore.test_store_interleavings import Step, crashing, interleavings

pytestmark = pytest.mark.integration

JOB = "job_1"


@dataclass
class World:
    """Two requests with one idempotency key, the network, the blobs, and what the client was told.

    on_its_way: a submit that has left the gateway and has not reached Redis. accepted: it answered 202.
    """

    job_store: JobStore
    blobs: set[str] = field(default_factory=set)
    on_its_way: Submission | None = None
    accepted: bool = False
    worked_on: list[str] = field(default_factory=list)

    def store(self, upload: str) -> None:
        self.blobs.add(upload)

    def send(self, upload: str) -> None:
        """The gateway hears nothing of it in time."""
        self.on_its_way = submission(upload)

    def deliver(self, _: str) -> None:
        if self.on_its_way:
            with suppress(JobStoreUnavailable):
                self.job_store.submit(self.on_its_way)

    def settle(self, upload: str) -> None:
        """As gateway/uploads/submit.py does: only a withdrawn upload is deleted."""
        found = self.job_store.uploads.withdraw(JOB, upload)
        if not found:
            self.blobs.discard(upload)
            return
        self.accepted = True
        if found["input_blob"] != upload:
            self.blobs.discard(upload)

    def settle_in_vain(self, upload: str) -> None:
        """Withdrawn, and nobody hears of it: the upload stays for the collector."""
        self.job_store.uploads.withdraw(JOB, upload)

    def submit(self, upload: str) -> None:
        """The repeated request, which is answered in time."""
        try:
            job = Job(self.job_store.submit(submission(upload)).record)
        except JobStoreUnavailable:
            self.blobs.discard(upload)
            return
        self.accepted = True
        own = job.text("input_blob")
        if own != upload and (
            own in self.blobs or not self.job_store.uploads.replace(job, submission(upload))
        ):
            self.blobs.discard(upload)

    def collect(self, _: str) -> None:
        """The collector's second look, long after its first; every clock may have jumped meanwhile."""
        for this_round in (1, 2):
            self.job_store.uploads.withdraw_orphans(sorted(self.blobs), this_round=this_round, grace_rounds=1)
        while path := self.job_store.redis.lpop(keys.PENDING_DELETIONS):
            self.blobs.discard(path)

    def work(self, worker: str) -> None:
        for claim in self.job_store.claim(Stage.PREPROCESS, worker):
            assert claim.record["input_blob"] in self.blobs, "a job without its volume"
            self.worked_on.append(claim.id)
            self.job_store.advance(claim, Stage.INFER)


def submission(upload: str) -> Submission:
    return Submission(id=JOB, site="a", content_digest="c", input_blob=upload, size_bytes=1, media="nifti")


FIRST = [("one", "store"), ("one", "send"), ("one", "settle")]
IN_VAIN = [("one", "store"), ("one", "send"), ("one", "settle_in_vain")]
NETWORK = [("N", "deliver")]
REPEATED = [("two", "store"), ("two", "submit")]
COLLECTOR = [("S", "collect")]
WORKER = [("W", "work")]


def check_end(world: World, schedule: tuple[Step, ...]) -> None:
    """Who was told 202 has a job that ends; nothing is stored that no job needs."""
    job_store = world.job_store
    world.work("honest")
    for claim in job_store.claim(Stage.INFER, "honest"):
        job_store.succeed(claim, {"result": "{}"})
    record = job_store.record(JOB)
    if world.accepted:
        assert record, schedule
    assert len(world.worked_on) == (1 if record else 0), schedule
    assert not record or record["state"] == JobState.SUCCEEDED, schedule
    world.collect("S")
    assert world.blobs == set(), schedule
    assert job_store.redis.scard(keys.UPLOADS_IN_USE) == job_store.redis.zcard(keys.ORPHANED_UPLOADS) == 0, (
        schedule
    )
    assert int(job_store.redis.get(keys.held_bytes("a")) or 0) == 0, schedule


def schedules() -> Iterator[tuple[Step, ...]]:
    for first in (*crashing(FIRST), IN_VAIN):
        yield from interleavings(first, NETWORK, REPEATED, COLLECTOR)
        yield from interleavings(first, NETWORK, COLLECTOR, WORKER)
    yield from interleavings(FIRST, NETWORK, [*NETWORK, *COLLECTOR], REPEATED)


def test_a_late_submit_its_settling_a_repetition_and_the_collector(redis_client: redis.Redis) -> None:
    seen = 0
    for schedule in dict.fromkeys(schedules()):
        redis_client.flushdb()
        world = World(JobStore(redis_client, now_ms=1_000_000))
        for who, what in schedule:
            getattr(world, what)(who)
        check_end(world, schedule)
        seen += 1
    assert seen > 1000
