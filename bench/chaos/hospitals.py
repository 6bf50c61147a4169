"""The sites of a system under attack, as hospitals use it: a name, a key, default quotas and rate limits."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import redis

from jobstore import api_keys, sites
from jobstore.api_keys import Scope

NAMES = ("north", "south")
_LONGEST_PAUSE = 5.0
"""A caller that comes again at once overtakes what is late; one that does as it was told meets it."""
REFUSED = frozenset({409, 429, 503})
"""Answers after which the same call is made again."""


@dataclass(frozen=True)
class Hospital:
    """One site. `http` sends its key with every call."""

    name: str
    http: httpx.Client

    def add_endpoint(self, url: str) -> str:
        """The id of a webhook endpoint of the site."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = self.with_retries(
            lambda: self.http.post("/v1/webhook-endpoints", json={"url": url}, headers=key)
        )
        return str(answer.raise_for_status().json()["id"])

    def with_retries(self, call: Callable[[], httpx.Response], *, within: float = 90) -> httpx.Response:
        """The answer to a call that may be repeated; RuntimeError when none comes in time."""
        ends, last = time.monotonic() + within, "no answer"
        while time.monotonic() < ends:
            try:
                answer = call()
            except httpx.TransportError as error:
                last = repr(error)
            else:
                if answer.status_code not in REFUSED or _is_final(answer):
                    return answer
                last = answer.text[:300]
                time.sleep(
                    random.uniform(0, min(_LONGEST_PAUSE, float(answer.headers.get("Retry-After", 0))))
                )
            time.sleep(0.2)
        raise RuntimeError(f"not answered in time: {last}")


def _is_final(answer: httpx.Response) -> bool:
    """A conflict with the state of a job stays one."""
    return answer.status_code == 409 and answer.json().get("code") == "job.wrong_state"


def configure(client: redis.Redis, url: str) -> list[Hospital]:
    """Two sites as `hippocamp-admin sites add` makes them; returns once nobody is served without a key."""
    found = []
    for name in NAMES:
        sites.save(client, sites.Site(name=name))
        key, _ = api_keys.issue(client, name, frozenset(Scope), now_ms=int(time.time() * 1000))
        headers = {"Authorization": f"Bearer {key}"}
        found.append(Hospital(name, httpx.Client(base_url=url, headers=headers, timeout=15, trust_env=False)))
    while httpx.get(f"{url}/v1/jobs", trust_env=False, timeout=10).status_code != httpx.codes.UNAUTHORIZED:
        time.sleep(0.1)
    return found
