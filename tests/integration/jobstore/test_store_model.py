"""Random histories of the line, step by step equal to a model in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.errors import JobStoreUnavailable, NotAHead
from contracts.job import Claim, Submission
from contracts.states import MOST_ATTEMPTS, Priority, Stage
from jobstore import keys
from jobstore.store import JobStore, LeaseLost
from tests.integration.jobstore.store_model import RUNNING, TERMINAL, WAITING, Model, Record, losing_answers

pytestmark = pytest.mark.integration

SITES = ("a", "b", "c")
WEIGHTS = {"c": 3}
BATCHES = {"a": "bat_a", "b": "bat_b"}
"""Every job of these sites is in the one batch of its site."""
ENDPOINTS = {"a": ["whe_x"], "b": ["whe_y", "whe_z"]}
LEASE = 5


class LineHistory(RuleBasedStateMachine):
    """Every rule does the same thing to the line and to the model, and compares what they answer."""

    client: redis.Redis

    @initialize()
    def open_line(self) -> None:
        self.client.flushall()
        for site, weight in WEIGHTS.items():
            self.client.hset(keys.site(site), "weight", weight)
        for site, batch in BATCHES.items():
            self.client.hset(keys.batch(batch), "site", site)
        for site, ids in ENDPOINTS.items():
            self.client.hset(keys.endpoints(site), mapping=dict.fromkeys(ids, "{}"))
        self.model = Model(WEIGHTS, ENDPOINTS)
        self.job_store = JobStore(self.client, now_ms=self.model.now)
        self.claims: list[Claim] = []
        self.sent: list[tuple[Submission, Record, int]] = []

    @rule(
        site=st.sampled_from(SITES),
        priority=st.sampled_from(list(Priority)),
        deadline=st.none() | st.integers(1, 20_000),
        wait=st.sampled_from([0, 0, 0, 3000]),
    )
    def submit(self, site: str, priority: Priority, deadline: int | None, wait: int) -> None:
        self.send(site, priority, deadline, wait)
        self.arrive(len(self.sent) - 1)

    @rule(
        site=st.sampled_from(SITES),
        priority=st.sampled_from(list(Priority)),
        deadline=st.none() | st.integers(1, 20_000),
        wait=st.sampled_from([0, 3000]),
    )
    def send(self, site: str, priority: Priority, deadline: int | None, wait: int) -> None:
        """A submit is on its way; it may come late, more than once, or never."""
        now, number = self.model.now, len(self.sent)
        ends = None if deadline is None else now + deadline
        submission = Submission(
            id=f"job_{number}", site=site, content_digest="c", input_blob=f"inputs/{number}",
            size_bytes=1, media="nifti", priority=priority, deadline_ms=ends,
            not_before_ms=now + wait if wait else None, batch=BATCHES.get(site, ""),
        )  # fmt: skip
        record = Record(submission.id, site, priority, now, deadline=ends)
        self.sent.append((submission, record, now + wait))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_submit_arrives(self, data: st.DataObject) -> None:
        self.arrive(data.draw(st.integers(0, len(self.sent) - 1)))

    def arrive(self, number: int) -> None:
        submission, record, not_before = self.sent[number]
        if record.id in self.model.withdrawn:
            with pytest.raises(JobStoreUnavailable):
                self.job_store.submit(submission)
            return
        told = self.job_store.submit(submission)
        if record.id not in self.model.records:
            self.model.submit(record, not_before)
        assert told.record["state"] == self.model.records[record.id].state

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """Its sender heard nothing, and asks what became of it before the upload is deleted."""
        submission = data.draw(st.sampled_from(self.sent))[0]
        found = self.job_store.uploads.withdraw(submission.id, submission.input_blob)
        assert bool(found) == self.model.withdraw(submission.id)

    def waiting_stages(self) -> list[Stage]:
        states = {record.state for record in self.model.records.values()}
        return [stage for stage in Stage if WAITING[stage] in states]

    @rule(data=st.data(), limit=st.integers(1, 4), lost=st.sampled_from([False] * 4 + [True]))
    def claim(self, data: st.DataObject, limit: int, lost: bool) -> None:
        """lost: the answer does not arrive, time passes, and the worker asks again.

        Then the first question arrives once more, late; nobody hears its answer.
        """
        if not self.waiting_stages():
            self.submit(data.draw(st.sampled_from(SITES)), Priority.ROUTINE, None, 0)
        stage = data.draw(st.sampled_from(self.waiting_stages()))
        given = self.model.claim(stage, limit, LEASE * 1000)
        if lost:
            with losing_answers(self.job_store), pytest.raises(redis.ConnectionError):
                self.job_store.claim(stage, "w", limit=limit, lease_seconds=LEASE)
            self.wait(data.draw(st.sampled_from([1, 6000])))
            self.reap()
            question = self.job_store._unanswered[stage, "w"]
            again = self.model.claim_again(stage, given, LEASE * 1000)
            given = again or self.model.claim(stage, limit, LEASE * 1000)
        claims = self.job_store.claim(stage, "w", limit=limit, lease_seconds=LEASE)
        assert [(c.id, c.fence) for c in claims] == given
        self.claims += claims
        if lost and given:
            late = self.job_store._run(
                "claim", stage, limit, LEASE * 1000, MOST_ATTEMPTS[stage], "w", question
            )
            assert [(id_, int(fence)) for id_, fence, _ in late[0]] == given
            assert self.model.claim_again(stage, given, LEASE * 1000) == given

    def held(self) -> list[Claim]:
        return [c for c in self.claims if self.model.holds(c.id, c.stage, c.fence)]

    def a_claim(self, data: st.DataObject) -> tuple[Claim, tuple[str, str, int]]:
        """Mostly one that is held, else any ever given, so that late workers act too."""
        late = data.draw(st.sampled_from([False] * 5 + [True]))
        claim = data.draw(st.sampled_from(self.claims if late else self.held()))
        return claim, (claim.id, str(claim.stage), claim.fence)

    @precondition(held)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        claim, who = self.a_claim(data)
        assert self.job_store.renew(claim, lease_seconds=LEASE) == self.model.renew(*who, LEASE * 1000)

    @precondition(held)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        claim, who = self.a_claim(data)
        if claim.stage is Stage.PREPROCESS:
            self.same(lambda: self.job_store.advance(claim, Stage.INFER), self.model.commit(*who, "infer"))
            self.same(
                lambda: self.job_store.advance(claim, Stage.INFER), kept=False
            )  # as a retried command would
        else:
            self.same(lambda: self.job_store.succeed(claim, {}), self.model.commit(*who, "succeeded"))

    @precondition(held)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        claim, who = self.a_claim(data)
        self.same(lambda: self.job_store.fail(claim, NotAHead("x")), self.model.commit(*who, "failed"))

    @precondition(held)
    @rule(data=st.data(), seconds=st.sampled_from([0, 2]), counts=st.booleans())
    def release(self, data: st.DataObject, seconds: int, counts: bool) -> None:
        claim, who = self.a_claim(data)
        kept = self.model.release(*who, delay=seconds * 1000, counts=counts)
        self.same(lambda: self.job_store.release(claim, "n", delay_seconds=seconds, counts=counts), kept)

    @staticmethod
    def same(act: Callable[[], None], kept: bool) -> None:
        if kept:
            act()
        else:
            with pytest.raises(LeaseLost):
                act()

    @precondition(lambda self: self.model.records)
    @rule(data=st.data())
    def cancel_or_replay(self, data: st.DataObject) -> None:
        record = self.model.records[data.draw(st.sampled_from(sorted(self.model.records)))]
        if record.kind == "job":
            assert self.job_store.cancel(record.id) == self.model.cancel(record.id)
        assert self.job_store.replay(record.id) == self.model.replay(record.id)

    @rule(milliseconds=st.sampled_from([1, 1000, 6000, 30_000]))
    def wait(self, milliseconds: int) -> None:
        self.model.now += milliseconds
        self.job_store.now_ms = self.model.now

    @rule()
    def reap(self) -> None:
        self.job_store.reap()
        self.model.reap()

    @invariant()
    def records_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        records = list(self.model.records.values())
        with self.client.pipeline(transaction=False) as pipe:
            for record in records:
                pipe.hgetall(keys.record(record.id))
            answers = pipe.execute()
        for record, stored in zip(records, answers, strict=True):
            found = (stored["state"], stored["stage"], int(stored["attempt"]), int(stored["fence"]))
            assert found == (record.state, record.stage, record.attempt, record.fence), record.id

    @invariant()
    def figures_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        records = list(self.model.records.values())
        for stage in Stage:
            own = [r for r in records if r.stage == stage and r.state not in TERMINAL]
            running = [r for r in own if r.state == RUNNING[stage]]
            later = [r for r in own if r.later is not None and r.later > self.model.now]
            assert self.job_store.running(stage) == len(running)
            assert self.job_store.depth(stage) == len(own) - len(running)
            assert self.job_store.ready(stage) == len(own) - len(running) - len(later)
        for site in SITES:
            counted = {s: int(n) for s, n in self.client.hgetall(keys.count(site)).items() if int(n)}
            assert counted == Counter(r.state for r in records if r.site == site and r.kind == "job")
            if batch := BATCHES.get(site):
                assert self.client.hgetall(keys.count_of_batch(batch)) == self.client.hgetall(
                    keys.count(site)
                )
                assert self.client.zcard(keys.jobs_of_batch(batch)) == sum(counted.values())
        assert set(self.client.zrange(keys.DEADLINES, 0, -1)) == {
            r.id for r in records if r.deadline is not None and r.state not in TERMINAL
        }

    def teardown(self) -> None:
        """However it went, reapers and honest workers bring every record to an end."""
        if not hasattr(self, "model"):
            return
        while any(record.state not in TERMINAL for record in self.model.records.values()):
            self.wait(6000)
            self.reap()
            for stage in Stage:
                self.model.claim(stage, 50, LEASE * 1000)
                for claim in self.job_store.claim(stage, "w", limit=50, lease_seconds=LEASE):
                    self.job_store.succeed(claim, {})
                    self.model.commit(claim.id, stage, claim.fence, "succeeded")
            assert self.model.now < 10_000_000, "something never ends"
        self.records_agree()
        assert sum(self.job_store.depth(s) + self.job_store.running(s) for s in Stage) == 0


def test_the_line_is_its_model(redis_client: redis.Redis) -> None:
    LineHistory.client = redis_client
    few = settings(
        max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(LineHistory, settings=few)
