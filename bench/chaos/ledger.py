"""The outside view: what was accepted, what every job came to, which webhooks arrived."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import redis

from bench.chaos.hospitals import Hospital
from bench.chaos.inbox import Inbox
from bench.chaos.scaled import bomb, scan, volume
from bench.chaos.system import System
from contracts.states import Stage
from jobstore import keys

DONE = {"succeeded", "failed", "canceled", "expired"}
REFUSED_AT_THE_DOOR = {"bomb"}
"""Orders whose upload the gateway may refuse before it becomes a job; once accepted they must fail."""


@dataclass
class Verdict:
    """Figures of one experiment; every one that must be zero is in `breaches`."""

    accepted: int
    states: dict[str, int]
    seconds: float
    breaches: dict[str, int]
    note: str = ""
    recovery: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Taken:
    """An accepted job: its orders and its site."""

    orders: str
    hospital: Hospital


class Ledger:
    """Submits for both sites as a careful client does: the same idempotency key until an answer comes."""

    def __init__(self, system: System, inbox: Inbox) -> None:
        self.system = system
        self.inbox = inbox
        self.accepted: dict[str, Taken] = {}
        self.refused = 0
        self._turn = itertools.cycle(system.hospitals)
        self.endpoints = {one.name: one.add_endpoint(inbox.url) for one in system.hospitals}

    def submit(self, orders: str, *, within: float = 120) -> None:
        """One job, accepted at last; RuntimeError if the gateway would not take it in time."""
        key, hospital = uuid.uuid4().hex, next(self._turn)
        headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": key}
        body = _body(orders, key)
        answer = hospital.with_retries(
            lambda: hospital.http.post("/v1/jobs", content=body, headers=headers), within=within
        )
        if orders in REFUSED_AT_THE_DOOR and answer.status_code in {413, 422}:
            self.refused += 1
            return
        if answer.status_code not in {200, 202}:
            raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
        job_id = str(answer.json()["id"])
        self.accepted[job_id] = Taken(orders, hospital)
        self.system.check_promise(job_id)

    def submit_all(self, orders: list[str], *, gap_seconds: float) -> None:
        """All of them, from eight clients, one every `gap_seconds`: the fault meets submissions too."""
        with ThreadPoolExecutor(8) as pool:
            waiting = []
            for order in orders:
                waiting.append(pool.submit(self.submit, order))
                time.sleep(gap_seconds)
            for one in waiting:
                one.result()

    def state(self, job_id: str) -> str:
        return self.system.redis.hget(keys.record(job_id), "state") or "missing"

    def drained(self, *, within: float) -> None:
        """Wait until no job waits for preprocessing any more, so that the fault meets work to the end."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            with suppress(redis.RedisError):
                if not self.system.job_store.depth(Stage.PREPROCESS):
                    return
            time.sleep(0.2)

    def settle(self, *, within: float) -> bool:
        """Wait until every accepted job has ended and every delivery to the good receiver is through."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            with suppress(redis.RedisError):
                open_jobs = [j for j in self.accepted if self.state(j) not in DONE]
                told = self.accepted.keys() <= self.inbox.announced().keys()
                if not open_jobs and told and not self._left_over():
                    return True
            time.sleep(0.3)
        return False

    def verdict(self, seconds: float, *, doomed: frozenset[str] = frozenset()) -> Verdict:
        """Compare store, API and inbox; `doomed`: orders whose jobs must fail, all others must succeed."""
        states = {job_id: self.state(job_id) for job_id in self.accepted}
        announced = self.inbox.announced()
        expected = {j: "failed" if one.orders in doomed else "succeeded" for j, one in self.accepted.items()}
        breaches = {
            "lost": sum(s not in DONE for s in states.values()),
            "wrong": sum(states[j] in DONE and states[j] != expected[j] for j in states),
            "duplicated": self._ended_again() + sum(len(ids) - 1 for ids in announced.values()),
            "unannounced": len(states.keys() - announced.keys()),
            "left_over": self._left_over(),
            "disagreed": sum(self._api_state(j) != state for j, state in states.items()),
        }
        found = {**breaches, **self.system.breaches}
        if self.refused:
            self.system.note = f"{self.refused} bombs refused by the gateway"
        return Verdict(len(states), dict(Counter(states.values())), seconds, found, note=self.system.note)

    def _ended_again(self) -> int:
        """Ends beyond one a job: a record that was finished twice, or a job that nobody was told about."""
        totals = self.system.redis.hgetall(keys.TOTALS)
        ends = sum(int(totals.get(f"entered:{state}", 0)) for state in DONE)
        return max(0, ends - len(self.accepted) - self.system.more_jobs)

    def _left_over(self) -> int:
        """Records still waiting or claimed; deliveries owed to receivers that misbehave may wait."""
        stages = [Stage.PREPROCESS, Stage.INFER]
        held = sum(self.system.job_store.depth(s) + self.system.job_store.running(s) for s in stages)
        ended = [self.system.redis.hget(keys.record(owed), "state") for owed in self._owed()]
        return held + sum(state not in DONE for state in ended)

    def _owed(self) -> list[str]:
        return [
            f"whd_{job_id.removeprefix('job_')}_{self.endpoints[one.hospital.name].removeprefix('whe_')}"
            for job_id, one in self.accepted.items()
        ]

    def _api_state(self, job_id: str) -> str:
        http = self.accepted[job_id].hospital.http
        answer = self.accepted[job_id].hospital.with_retries(lambda: http.get(f"/v1/jobs/{job_id}"))
        return str(answer.json().get("state"))


def _body(orders: str, key: str) -> bytes:
    if orders == "bomb":
        return bomb(key)
    return scan(key) if orders == "scan" else volume(f"{orders}\nunique {key}")
