"""A bad network between every process and Redis, and callers who change their minds meanwhile."""

from __future__ import annotations

import itertools
import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import redis

from bench.chaos.hospitals import Hospital
from bench.chaos.relay import Fate, let_pass
from bench.chaos.scaled import volume
from bench.chaos.system import System
from jobstore import keys
from workers.maintenance.orphaned_uploads import EVERY_ROUNDS

_FREQUENT = frozenset({"submit", "claim", "commit", "renew", "position", "reap"})
_ONE_IN = 5
"""Calls of such a script of which one meets a fault; of the others every second. Each fault in its turn."""
_FATES = (Fate.LATE, Fate.REPLY_LATE, Fate.LOST, Fate.REPLY_LOST)
_CALLERS = 4
_LONG_SECONDS = 6.0
"""Longer than any client of ours waits for Redis."""


class BadNetwork:
    """The judge of a relay: some calls of each script are late, lost, or answered late or in vain."""

    def __init__(self, chance: random.Random) -> None:
        self._random = chance
        self._calls: Counter[str] = Counter()

    def __call__(self, script: str, _: bytes) -> tuple[Fate, float]:
        if not script:
            return (self._random.choice(_FATES) if self._random.random() < 0.002 else Fate.PASS), 1.0
        self._calls[script] += 1
        turn, rest = divmod(self._calls[script], _ONE_IN if script in _FREQUENT else 2)
        long = turn % 16 in {4, 5}
        seconds = _LONG_SECONDS if long else self._random.uniform(0.5, 2)
        return (Fate.PASS if rest else _FATES[turn % len(_FATES)]), seconds


def bad_network(system: System, over: threading.Event) -> None:
    """Scripts are late and lost; jobs are canceled, erased and looked at; the collector's time flies."""
    changes, looks = _Changes(system), itertools.count(2, 2)
    system.relay.judge = BadNetwork(system.random)
    with ThreadPoolExecutor(_CALLERS) as pool:
        calling = [pool.submit(changes.make, over) for _ in range(_CALLERS)]
        while not over.wait(2):
            with suppress(redis.RedisError):  # the next round is a look of the collector, 600 after the last
                system.redis.set(keys.ORPHAN_ROUNDS, EVERY_ROUNDS * next(looks) - 1)
        for one in calling:
            one.result()
    system.relay.judge = let_pass
    time.sleep(_LONG_SECONDS + 1)  # what is on its way arrives
    system.breaches["undone"] = changes.undone()
    met = Counter(script for script, _ in system.relay.seen.elements() if script)
    scripts = ", ".join(f"{script} {count}" for script, count in met.most_common())
    system.note = f"{met.total()} faults: {scripts}"


class _Changes:
    """Jobs beside those of the ledger, which are canceled or erased; each answer is held to its word."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._canceled: dict[str, Hospital] = {}
        self._erased: dict[str, Hospital] = {}
        self._turns = itertools.count()

    def make(self, over: threading.Event) -> None:
        """Submit a job, look at it, and cancel or erase it, again and again."""
        while not over.wait(0.2):
            self._make_one(next(self._turns))

    def _make_one(self, turn: int) -> None:
        hospital = self.system.hospitals[turn % 2]
        job_id = self._submit(hospital)
        address = f"/v1/jobs/{job_id}"
        hospital.with_retries(lambda: hospital.http.get(address))
        if turn % 3 == 0:
            gone = hospital.with_retries(lambda: hospital.http.delete(address))
            if gone.status_code in {204, 410}:
                self._erased[job_id] = hospital
            return
        ended = hospital.with_retries(lambda: hospital.http.post(f"{address}/cancel"))
        if ended.status_code == 200:
            self._canceled[job_id] = hospital

    def _submit(self, hospital: Hospital) -> str:
        key = uuid.uuid4().hex
        headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": key}
        body = volume(f"sleep 0.2\nunique {key}")
        answer = hospital.with_retries(lambda: hospital.http.post("/v1/jobs", content=body, headers=headers))
        self.system.more_jobs += 1
        return str(answer.raise_for_status().json()["id"])

    def undone(self) -> int:
        """Cancels and erasures that were answered as done and are not."""
        canceled = sum(
            self.system.redis.hget(keys.record(job_id), "state") != "canceled" for job_id in self._canceled
        )
        left = sum(
            self.system.redis.hget(keys.record(job_id), "kind") != "tombstone" for job_id in self._erased
        )
        return canceled + left


def cut_at_wait(system: System, over: threading.Event) -> None:
    """The replica hears nothing for 1.5 s, again and again, and connections break between record and WAIT."""
    count = Counter[str]()

    def judge(_: str, request: bytes) -> tuple[Fate, float]:
        if b"\r\nWAIT\r\n" not in request:
            return Fate.PASS, 0.0
        count["wait"] += 1
        return (Fate.PASS if count["wait"] % 3 else Fate.CUT_AT_WAIT), 0.0

    system.relay.judge = judge
    while not over.wait(1.5):
        system.link.silence(on=True)
        over.wait(1.5)
        system.link.silence(on=False)
    system.relay.judge = let_pass
    cuts = sum(system.relay.seen.values())
    system.breaches["no_cuts"] = int(not cuts)
    system.note = f"{cuts} connections cut at WAIT, each 202 looked up on the replica"
