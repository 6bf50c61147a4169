"""Who is there to work, what an operator took out of service, and what waits in quarantine."""

from __future__ import annotations

from collections.abc import Iterator

import redis
from prometheus_client.core import GaugeMetricFamily, Metric

from contracts.states import Stage
from jobstore import clock, draining, heartbeats, keys
from jobstore.wakeups import MAINTAIN_QUEUE

QUEUES = (*map(str, Stage), MAINTAIN_QUEUE)


def figures(client: redis.Redis) -> Iterator[Metric]:
    """All of it; RedisError when it cannot be read."""
    yield from _pools(client)
    yield from _drained(client)
    about = "Poisoned jobs whose upload is kept"
    yield GaugeMetricFamily("hippocamp_quarantined", about, client.zcard(keys.QUARANTINE))


def _pools(client: redis.Redis) -> Iterator[Metric]:
    now_ms = clock.now_ms(client)
    there = [pool for pool in heartbeats.pools(client) if not pool.is_silent(now_ms)]
    pools = GaugeMetricFamily("hippocamp_pools", "Worker pools that told lately", labels=["stage"])
    slots = GaugeMetricFamily("hippocamp_slots", "Records they can work on at once", labels=["stage"])
    for queue in QUEUES:
        serving = [pool for pool in there if queue in pool.queues]
        pools.add_metric([queue], len(serving))
        slots.add_metric([queue], sum(pool.slots for pool in serving))
    yield from (pools, slots)


def _drained(client: redis.Redis) -> Iterator[Metric]:
    scopes = draining.drained(client)
    family = GaugeMetricFamily("hippocamp_drained", "1 while a stage may not claim", labels=["stage"])
    for stage in Stage:
        family.add_metric([stage], int(f"stage:{stage}" in scopes))
    yield family
    hosts = sum(scope.startswith("host:") for scope in scopes)
    yield GaugeMetricFamily("hippocamp_drained_hosts", "Hosts whose workers may not claim", hosts)
