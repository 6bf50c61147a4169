"""The outside view: what was accepted, what every job came to, which webhooks arrived."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import httpx
import redis

from bench.chaos.scaled import bomb, volume
from bench.chaos.system import System
from contracts.states import Stage

DONE = {"succeeded", "failed", "canceled", "expired"}
STATUS = {"ok": 204, "500": 500, "slow": 204, "redirecting": 302, "gone": 410}
REFUSED_AT_THE_DOOR = {"bomb"}
"""Orders whose upload the gateway may refuse before it becomes a job; once accepted they must fail."""
SLOW_SECONDS = 6.0
"""Longer than the sender waits in the experiment with receivers."""


@dataclass
class Verdict:
    """Figures of one experiment; every one that must be zero is in `breaches`."""

    accepted: int
    states: dict[str, int]
    seconds: float
    breaches: dict[str, int]
    note: str = ""
    recovery: list[float] = field(default_factory=list)


class Inbox:
    """A webhook receiver that keeps (webhook id, body) of every request it answered with 2xx.

    mode: ok, 500, slow (answers after the sender's limit), redirecting (to `elsewhere`), gone (410).
    """

    def __init__(self, mode: str = "ok", *, elsewhere: str = "") -> None:
        self.got: list[tuple[str, bytes]] = []
        self.tries = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.tries += 1
                if mode == "slow":
                    time.sleep(SLOW_SECONDS)
                if mode == "ok":
                    outer.got.append((self.headers["webhook-id"], body))
                self.send_response(STATUS[mode])
                self.send_header("Location", elsewhere)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    """Senders that have gone away are no news."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        return


class Ledger:
    """Submits as a careful client does: the same idempotency key until an answer comes."""

    def __init__(self, system: System, inbox: Inbox) -> None:
        self.system = system
        self.inbox = inbox
        self.accepted: dict[str, str] = {}
        self.retries = 0
        self.refused = 0
        self.http = httpx.Client(base_url=system.url, timeout=10, trust_env=False)
        made = self.http.post("/v1/webhook-endpoints", json={"url": inbox.url}).raise_for_status()
        self.endpoint = str(made.json()["id"])

    def submit(self, orders: str, *, within: float = 60) -> None:
        """One job, accepted at last; RuntimeError if the gateway would not take it in time."""
        key, ends = uuid.uuid4().hex, time.monotonic() + within
        headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": key}
        body = bomb(key) if orders == "bomb" else volume(f"{orders}\nunique {key}")
        while time.monotonic() < ends:
            try:
                answer = self.http.post("/v1/jobs", content=body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in {200, 202}:
                self.accepted[answer.json()["id"]] = orders
                return
            if answer is not None and orders in REFUSED_AT_THE_DOOR and answer.status_code in {413, 422}:
                self.refused += 1
                return
            if answer is not None and answer.status_code not in {409, 429, 503}:
                raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
            self.retries += 1
            time.sleep(0.2)
        raise RuntimeError("not accepted in time")

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
        return self.system.redis.hget(f"hc:rec:{job_id}", "state") or "missing"

    def drained(self, *, within: float) -> None:
        """Wait until no job waits for preprocessing any more, so that the fault meets work to the end."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            with suppress(redis.RedisError):
                if not self.system.line.depth(Stage.PREPROCESS):
                    return
            time.sleep(0.2)

    def settle(self, *, within: float) -> bool:
        """Wait until every accepted job has ended and every delivery to the good receiver is through."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            with suppress(redis.RedisError):
                open_jobs = [j for j in self.accepted if self.state(j) not in DONE]
                told = len({i for i, _ in self.inbox.got}) >= len(self.accepted)
                if not open_jobs and told and not self._left_over():
                    return True
            time.sleep(0.3)
        return False

    def verdict(self, seconds: float, *, doomed: frozenset[str] = frozenset()) -> Verdict:
        """Compare store, API and inbox; `doomed`: orders whose jobs must fail, all others must succeed."""
        states = {job_id: self.state(job_id) for job_id in self.accepted}
        expected = {j: "failed" if orders in doomed else "succeeded" for j, orders in self.accepted.items()}
        told = [i for i, _ in self.inbox.got]
        breaches = {
            "lost": sum(s not in DONE for s in states.values()),
            "wrong": sum(states[j] in DONE and states[j] != expected[j] for j in states),
            "duplicated": self._ended_again(len(states)) + self._announced_again(),
            "unannounced": max(0, len(states) - len(set(told))),
            "left_over": self._left_over(),
            "disagreed": sum(self._api_state(j) != state for j, state in states.items()),
        }
        self.http.close()
        found = {**breaches, **self.system.breaches}
        if self.refused:
            self.system.note = f"{self.refused} bombs refused by the gateway"
        return Verdict(len(states), dict(Counter(states.values())), seconds, found, note=self.system.note)

    def _ended_again(self, accepted: int) -> int:
        """Ends beyond one a job: a record that was finished twice, or a job that nobody was told about."""
        totals = self.system.redis.hgetall("hc:totals")
        return max(0, sum(int(totals.get(f"entered:{state}", 0)) for state in DONE) - accepted)

    def _announced_again(self) -> int:
        """Jobs whose end came under two webhook ids; the same id twice is allowed, receivers drop it."""
        ids = {i for i, _ in self.inbox.got}
        jobs = {json.loads(body)["data"]["job_id"] for _, body in self.inbox.got}
        return len(ids) - len(jobs)

    def _left_over(self) -> int:
        """Records still waiting or claimed; deliveries owed to receivers that misbehave may wait."""
        stages = [Stage.PREPROCESS, Stage.INFER]
        held = sum(self.system.line.depth(s) + self.system.line.running(s) for s in stages)
        mine = self.endpoint.removeprefix("whe_")
        owed = [f"whd_{job_id.removeprefix('job_')}_{mine}" for job_id in self.accepted]
        ended = [self.system.redis.hget(f"hc:rec:{i}", "state") for i in owed]
        return held + sum(state not in DONE for state in ended)

    def _api_state(self, job_id: str) -> str:
        return str(self.http.get(f"/v1/jobs/{job_id}").json().get("state"))
