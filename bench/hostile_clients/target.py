"""The gateway under attack: a local system's own Redis and gateway, with two sites and their keys."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.accounting import family, pss
from bench.waiting import until
from deploy.local import services
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem
from jobstore import api_keys, sites
from jobstore.api_keys import Scope
from runtime.redis_connections import connect

ATTACKER, OTHER = "crowd", "quiet"
SITE = sites.Site(name=OTHER, requests_per_second=100_000)
"""Of each, but for its name. A site's rate, which is counted, would hide what is measured."""


@dataclass(frozen=True)
class Target:
    """Where it listens, the keys of both sites, and its first process."""

    port: int
    keys: dict[str, str]
    leader: psutil.Process

    def memory(self) -> float:
        """Proportional set size of all its processes in MB."""
        return sum(pss(one) for one in family(self.leader)) / 1e6

    def spent(self) -> float:
        """CPU seconds of all its processes so far."""
        return sum(sum(one.cpu_times()[:4]) for one in family(self.leader))


@contextmanager
def target() -> Iterator[Target]:
    """A fresh one, gone afterwards. No worker runs: what is submitted waits."""
    with tempfile.TemporaryDirectory(prefix="hippocamp-bench-") as folder:
        settings = LocalSettings().beside(Path(folder))
        stack = LocalSystem(settings, [services.redis, services.gateway])
        (settings.folder / "logs").mkdir()
        try:
            stack.restart("redis")
            keys = _keys(settings.environment()["HIPPOCAMP_REDIS_URL"])
            stack.restart("gateway")
            until(lambda: _serves(settings.ports.gateway), "the gateway", seconds=settings.start_seconds)
            leader = next(item.process() for item in stack.remembered() if item.name == "gateway")
            if leader is None:
                raise SystemExit(stack.log("gateway").read_text())
            yield Target(settings.ports.gateway, keys, leader)
        finally:
            stack.down()


def _keys(redis_url: str) -> dict[str, str]:
    """Both sites, in the mode that is printed."""
    client, keys = connect(redis_url), {}
    for name in (ATTACKER, OTHER):
        sites.save(client, replace(SITE, name=name))
        keys[name], _ = api_keys.issue(client, name, frozenset(Scope), now_ms=int(time.time() * 1000))
    client.close()
    return keys


def _serves(port: int) -> bool:
    import httpx

    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False, timeout=5).is_success
    except httpx.HTTPError:
        return False
