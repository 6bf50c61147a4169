"""Random histories of the line, step by step equal to a model in plain Python."""

from __future__ import annotations

from collections import Counter

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

from contracts.errors import NotAHead
from contracts.job import Claim, Submission
from contracts.line import LeaseLost, Line
from contracts.states import JobState, Priority, Stage
from tests.integration.line_model import RUNNING, TERMINAL, Model, Record

pytestmark = pytest.mark.integration

SITES = ("a", "b", "c")
WEIGHTS = {"c": 3}
ENDPOINTS = {"a": ["whe_x"], "b": ["whe_y", "whe_z"]}
LEASE = 5


class LineHistory(RuleBasedStateMachine):
    """Every rule does the same thing to the line and to the model, and compares what they answer."""

    client: redis.Redis

    @initialize()
    def open_line(self) -> None:
        self.client.flushall()
        for site, weight in WEIGHTS.items():
            self.client.hset(f"hc:site:{site}", "weight", weight)
        for site, ids in ENDPOINTS.items():
            self.client.hset(f"hc:endpoints:{site}", mapping=dict.fromkeys(ids, "{}"))
        self.model = Model(WEIGHTS, ENDPOINTS)
        self.line = Line(self.client, now_ms=self.model.now)
        self.claims: list[Claim] = []

    @rule(
        site=st.sampled_from(SITES),
        priority=st.sampled_from(list(Priority)),
        deadline=st.none() | st.integers(1, 20_000),
        wait=st.sampled_from([0, 0, 0, 3000]),
    )
    def submit(self, site: str, priority: Priority, deadline: int | None, wait: int) -> None:
        now, number = self.model.now, len(self.model.records)
        ends = None if deadline is None else now + deadline
        self.line.submit(
            Submission(
                id=f"job_{number}", site=site, content_digest="c", input_blob=f"inputs/{number}",
                size_bytes=1, media="nifti", priority=priority, deadline_ms=ends,
                not_before_ms=now + wait if wait else None,
            )
        )  # fmt: skip
        self.model.submit(Record(f"job_{number}", site, priority, now, deadline=ends), now + wait)

    @rule(stage=st.sampled_from(list(Stage)), limit=st.integers(1, 4))
    def claim(self, stage: Stage, limit: int) -> None:
        claims = self.line.claim(stage, "w", limit=limit, lease_seconds=LEASE)
        assert [(c.id, c.fence) for c in claims] == self.model.claim(stage, limit, LEASE * 1000)
        self.claims += claims

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        kept = self.model.renew(claim.id, claim.stage, claim.fence, LEASE * 1000)
        assert self.line.renew(claim, lease_seconds=LEASE) == kept

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(["advance", "succeed", "fail", "release", "hand back"]))
    def end_claim(self, data: st.DataObject, how: str) -> None:
        """Any claim ever given, also those long lost; deliveries cannot advance."""
        claim = data.draw(st.sampled_from(self.claims))
        if how == "advance" and claim.stage is not Stage.PREPROCESS:
            how = "succeed"
        who = (claim.id, str(claim.stage), claim.fence)
        match how:
            case "advance":
                self.same(lambda: self.line.advance(claim, Stage.INFER), self.model.commit(*who, "infer"))
            case "succeed":
                self.same(lambda: self.line.succeed(claim, {}), self.model.commit(*who, "succeeded"))
            case "fail":
                self.same(lambda: self.line.fail(claim, NotAHead("x")), self.model.commit(*who, "failed"))
            case "release":
                kept = self.model.release(*who, delay=2000, counts=True)
                self.same(lambda: self.line.release(claim, "n", delay_seconds=2), kept)
            case _:
                kept = self.model.release(*who, delay=0, counts=False)
                self.same(lambda: self.line.release(claim, "n", counts=False), kept)

    @staticmethod
    def same(act: object, kept: bool) -> None:
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
            assert self.line.cancel(record.id) == self.model.cancel(record.id)
        assert self.line.replay(record.id) == self.model.replay(record.id)

    @rule(milliseconds=st.sampled_from([1, 1000, 6000, 30_000]))
    def wait(self, milliseconds: int) -> None:
        self.model.now += milliseconds
        self.line.now_ms = self.model.now

    @rule()
    def reap(self) -> None:
        self.line.reap()
        self.model.reap()

    @invariant()
    def records_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        for record in self.model.records.values():
            stored = self.line.record(record.id)
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
            assert self.line.running(stage) == len(running)
            assert self.line.depth(stage) == len(own) - len(running)
            assert self.line.ready(stage) == len(own) - len(running) - len(later)
        for site in SITES:
            counted = {s: int(n) for s, n in self.client.hgetall(f"hc:count:{site}").items() if int(n)}
            assert counted == Counter(r.state for r in records if r.site == site and r.kind == "job")
        assert set(self.client.zrange("hc:deadlines", 0, -1)) == {
            r.id for r in records if r.deadline is not None and r.state not in TERMINAL
        }

    def teardown(self) -> None:
        """However it went, reapers and honest workers bring every record to an end."""
        if not hasattr(self, "model"):
            return
        for _ in range(60):
            self.wait(6000)
            self.reap()
            for stage in Stage:
                for claim in self.line.claim(stage, "w", limit=50, lease_seconds=LEASE):
                    self.line.succeed(claim, {})
        for record_id in self.model.records:
            assert self.line.record(record_id)["state"] in set(JobState)
            assert JobState(self.line.record(record_id)["state"]).is_terminal
        assert sum(self.line.depth(s) + self.line.running(s) for s in Stage) == 0


def test_the_line_is_its_model(redis_client: redis.Redis) -> None:
    LineHistory.client = redis_client
    few = settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(LineHistory, settings=few)
