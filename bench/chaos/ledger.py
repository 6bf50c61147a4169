"""The outside view: what was accepted, what every job came to, which webhooks arrived."""

from __future__ import annotations

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

from bench.chaos.scaled import volume
from bench.chaos.system import System
from contracts.states import Stage

DONE = {"succeeded", "failed", "canceled", "expired"}


@dataclass
class Verdict:
    """Figures of one experiment; every one that must be zero is in `breaches`."""

    accepted: int
    states: dict[str, int]
    seconds: float
    breaches: dict[str, int]
    recovery: list[float] = field(default_factory=list)


class Inbox:
    """A webhook receiver that keeps (webhook id, body) of every request it answered with 2xx."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.headers["webhook-id"], body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Ledger:
    """Submits as a careful client does: the same idempotency key until an answer comes."""

    def __init__(self, system: System, inbox: Inbox) -> None:
        self.system = system
        self.inbox = inbox
        self.accepted: dict[str, str] = {}
        self.retries = 0
        self.http = httpx.Client(base_url=system.url, timeout=10, trust_env=False)
        self.http.post("/v1/webhook-endpoints", json={"url": inbox.url}).raise_for_status()

    def submit(self, orders: str, *, within: float = 60) -> None:
        """One job, accepted at last; RuntimeError if the gateway would not take it in time."""
        key, ends = uuid.uuid4().hex, time.monotonic() + within
        headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": key}
        body = volume(f"{orders}\nunique {key}")
        while time.monotonic() < ends:
            try:
                answer = self.http.post("/v1/jobs", content=body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in {200, 202}:
                self.accepted[answer.json()["id"]] = orders
                return
            if answer is not None and answer.status_code not in {409, 429, 503}:
                raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
            self.retries += 1
            time.sleep(0.2)
        raise RuntimeError("not accepted in time")

    def submit_all(self, orders: list[str]) -> None:
        """All of them, eight clients at once."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.submit, orders))

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
        """Wait until every accepted job has ended and every delivery is through."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            open_jobs = [j for j in self.accepted if self.state(j) not in DONE]
            if not open_jobs and len({i for i, _ in self.inbox.got}) >= len(self.accepted):
                return True
            time.sleep(0.3)
        return False

    def verdict(self, seconds: float, *, doomed: frozenset[str] = frozenset()) -> Verdict:
        """Compare store, API and inbox; `doomed`: orders whose jobs must fail, all others must succeed."""
        states = {job_id: self.state(job_id) for job_id in self.accepted}
        totals = self.system.redis.hgetall("hc:totals")
        ended = sum(int(n) for key, n in totals.items() if key in {f"entered:{s}" for s in DONE})
        notices = Counter(body for _, body in self.inbox.got)
        ids = {i for i, _ in self.inbox.got}
        expected = {j: "failed" if orders in doomed else "succeeded" for j, orders in self.accepted.items()}
        breaches = {
            "lost": sum(s not in DONE for s in states.values()),
            "wrong": sum(states[j] in DONE and states[j] != expected[j] for j in states),
            "duplicated": max(0, ended - len(states)) + (len(notices) - len(ids)),
            "unannounced": max(0, len(states) - len(ids)),
            "left_over": sum(self.system.line.depth(s) + self.system.line.running(s) for s in Stage),
        }
        self.http.close()
        return Verdict(len(states), dict(Counter(states.values())), seconds, breaches)
