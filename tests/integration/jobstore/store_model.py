"""The line in plain Python: what the Lua scripts must do, said without Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from jobstore.store import JobStore

WAITING = {"preprocess": "queued", "infer": "queued_infer", "deliver": "pending"}
RUNNING = {"preprocess": "preprocessing", "infer": "inferring", "deliver": "delivering"}
TERMINAL = {"succeeded", "failed", "canceled", "expired"}
MOST = {"preprocess": 3, "infer": 3, "deliver": 10}
MOST_UNHEARD = 5
RANK = {"stat": 0, "routine": 1, "bulk": 2}


@dataclass
class Record:
    """One job or delivery; `lease` and `later` are times in ms, None when they do not apply."""

    id: str
    site: str
    priority: str
    created: int
    kind: str = "job"
    deadline: int | None = None
    stage: str = "preprocess"
    state: str = ""
    attempt: int = 0
    fence: int = 0
    heard: bool = False
    unheard: int = 0
    lease: int | None = None
    later: int | None = None


@dataclass
class Queue:
    """One stage: waiting ids per site, and whose turn is next by virtual time."""

    waiting: dict[str, list[str]] = field(default_factory=dict)
    turn: dict[str, float] = field(default_factory=dict)
    owed: dict[str, float] = field(default_factory=dict)
    now: float = 0.0


@dataclass
class Model:
    """All moves, each as the docstring of `jobstore.store.JobStore` promises it."""

    weights: dict[str, int]
    endpoints: dict[str, list[str]]
    now: int = 1_000_000
    records: dict[str, Record] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=lambda: {stage: Queue() for stage in WAITING})
    withdrawn: set[str] = field(default_factory=set)

    def submit(self, record: Record, not_before: int) -> None:
        record.created = self.now
        self.records[record.id] = record
        self._enqueue(record, "preprocess", not_before)

    def withdraw(self, record_id: str) -> bool:
        """Whether there is such a record; if not, there will be none of the upload that goes with it."""
        if record_id not in self.records:
            self.withdrawn.add(record_id)
        return record_id in self.records

    def _enqueue(self, record: Record, stage: str, not_before: int = 0) -> None:
        record.stage, record.state, record.lease = stage, WAITING[stage], None
        if not_before > self.now:
            record.later = not_before
        else:
            self._push(record)

    def _push(self, record: Record) -> None:
        record.later = None
        queue = self.queues[record.stage]
        ids = queue.waiting.setdefault(record.site, [])
        ids.append(record.id)
        ids.sort(key=lambda i: (RANK[self.records[i].priority], self.records[i].created, i))
        if record.site not in queue.turn:
            queue.turn[record.site] = max(queue.now, queue.owed.get(record.site, 0.0))

    def _peek(self, stage: str) -> Record | None:
        queue = self.queues[stage]
        if not queue.turn:
            return None
        site = min(queue.turn, key=lambda s: (queue.turn[s], s))
        return self.records[queue.waiting[site][0]]

    def _pop(self, stage: str, site: str) -> None:
        queue = self.queues[stage]
        at = queue.turn[site]
        queue.waiting[site].pop(0)
        queue.now, queue.owed[site] = at, at + 1 / self.weights.get(site, 1)
        queue.turn[site] = queue.owed[site]
        if not queue.waiting[site]:
            del queue.turn[site], queue.waiting[site]

    def claim(self, stage: str, limit: int, lease: int) -> list[tuple[str, int]]:
        """What was tried before is given out alone."""
        due = [r for r in self.records.values() if r.stage == stage and r.later is not None]
        for record in sorted((r for r in due if r.later <= self.now), key=lambda r: (r.later, r.id)):
            self._push(record)
        given: list[tuple[str, int]] = []
        while len(given) < limit and (record := self._peek(stage)) is not None:
            tried = record.attempt > 0
            if tried and given:
                break
            self._pop(stage, record.site)
            if record.attempt >= MOST[stage]:
                self._finish(record, "failed")
                continue
            record.attempt += 1
            record.fence += 1
            record.state, record.lease, record.heard = RUNNING[stage], self.now + lease, False
            given.append((record.id, record.fence))
            if tried:
                break
        return given

    def claim_again(self, stage: str, given: list[tuple[str, int]], lease: int) -> list[tuple[str, int]]:
        """A claim whose answer was lost, asked again: what of it is still held is given once more."""
        held = [(record_id, fence) for record_id, fence in given if self.holds(record_id, stage, fence)]
        for record_id, _ in held:
            self.records[record_id].lease = self.now + lease
        return held

    def holds(self, record_id: str, stage: str, fence: int) -> bool:
        record = self.records[record_id]
        return record.state == RUNNING[stage] and record.fence == fence

    def renew(self, record_id: str, stage: str, fence: int, lease: int) -> bool:
        if self.holds(record_id, stage, fence):
            self.records[record_id].lease = self.now + lease
            self.records[record_id].heard = True
            return True
        return False

    def commit(self, record_id: str, stage: str, fence: int, target: str) -> bool:
        if not self.holds(record_id, stage, fence):
            return False
        record = self.records[record_id]
        if target in TERMINAL:
            self._finish(record, target)
        else:
            record.attempt = record.unheard = 0
            self._enqueue(record, target)
        return True

    def release(self, record_id: str, stage: str, fence: int, *, delay: int, counts: bool) -> bool:
        if not self.holds(record_id, stage, fence):
            return False
        record = self.records[record_id]
        record.fence += 1
        record.attempt -= 0 if counts else 1
        self._enqueue(record, stage, self.now + delay)
        return True

    def cancel(self, record_id: str) -> str:
        record = self.records[record_id]
        if record.state not in TERMINAL:
            self._finish(record, "canceled")
        return record.state

    def replay(self, record_id: str) -> bool:
        record = self.records[record_id]
        if record.kind != "delivery" or record.state not in TERMINAL:
            return False
        record.attempt = record.unheard = 0
        self._enqueue(record, "deliver")
        return True

    def reap(self) -> None:
        ends = [r for r in self.records.values() if r.lease is not None and r.lease <= self.now]
        for stage in ("preprocess", "infer", "deliver"):
            for record in sorted((r for r in ends if r.stage == stage), key=lambda r: (r.lease, r.id)):
                if not record.heard and record.unheard < MOST_UNHEARD:
                    record.unheard += 1
                    record.attempt -= 1
                if record.attempt >= MOST[stage]:
                    self._finish(record, "failed")
                else:
                    record.fence += 1
                    self._enqueue(record, stage)
        for record in list(self.records.values()):
            if record.deadline is not None and record.deadline <= self.now and record.state not in TERMINAL:
                self._finish(record, "expired")

    def _finish(self, record: Record, state: str) -> None:
        queue = self.queues[record.stage]
        ids = queue.waiting.get(record.site, [])
        if record.id in ids:
            ids.remove(record.id)
            if not ids:
                del queue.waiting[record.site], queue.turn[record.site]
        record.state, record.lease, record.later = state, None, None
        record.fence += 1
        if record.kind == "job":
            self._announce(record)

    def _announce(self, job: Record) -> None:
        for endpoint in self.endpoints.get(job.site, []):
            delivery = f"whd_{job.id[4:]}_{endpoint[4:]}"
            if delivery not in self.records:
                self.records[delivery] = Record(delivery, job.site, "routine", self.now, kind="delivery")
                self._enqueue(self.records[delivery], "deliver")


@contextmanager
def losing_answers(job_store: JobStore) -> Iterator[None]:
    """Every call reaches Redis and does its work; what it answers is lost."""
    run = job_store._run

    def deaf(*args: Any) -> None:
        run(*args)
        raise redis.ConnectionError("the answer was lost")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_store, "_run", deaf)
        yield
