"""Webhook receivers that misbehave, beside a good one that must not notice."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from bench.chaos.inbox import Inbox
from bench.chaos.system import System
from jobstore import keys, webhook_endpoints

KINDS = ("500", "slow", "redirecting", "gone")


def misbehave(system: System, over: threading.Event) -> None:
    """Down, 500, slower than the limit, redirecting to a trap, 410; the last must be switched off."""
    with ExitStack() as open_:
        trap = open_.enter_context(Inbox())
        bad = {kind: open_.enter_context(Inbox(kind, elsewhere=trap.url)) for kind in KINDS}
        urls = {kind: inbox.url for kind, inbox in bad.items()} | {"down": "http://127.0.0.1:9/"}
        hospital = system.hospitals[0]
        made = {kind: hospital.add_endpoint(url) for kind, url in urls.items()}
        over.wait()
        deadline = time.monotonic() + 20
        while _is_on(system, made["gone"]) and time.monotonic() < deadline:
            time.sleep(0.2)
        system.breaches["gone_still_on"] = int(_is_on(system, made["gone"]))
        system.breaches["redirects_followed"] = len(trap.got)
        system.breaches["taken_for_good"] = _succeeded(system, set(made.values()))
        system.note = "tried: " + ", ".join(f"{kind} {inbox.tries}" for kind, inbox in bad.items())
        for one in made.values():
            hospital.http.delete(f"/v1/webhook-endpoints/{one}")


def _is_on(system: System, endpoint_id: str) -> bool:
    for site in system.redis.smembers(keys.SITES):
        found = webhook_endpoints.find(system.redis, site, endpoint_id)
        if found is not None:
            return not found.disabled
    return False


def _succeeded(system: System, endpoint_ids: set[str]) -> int:
    """Deliveries to these endpoints that count as delivered."""
    found = 0
    for site in system.redis.smembers(keys.SITES):
        for delivery in system.redis.zrange(keys.deliveries(site), 0, -1):
            endpoint, state = system.redis.hmget(keys.record(delivery), ["endpoint_id", "state"])
            found += endpoint in endpoint_ids and state == "succeeded"
    return found
