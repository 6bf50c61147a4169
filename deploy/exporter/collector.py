"""All figures of one scrape: Redis is asked once, and told apart from a Redis that does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import redis
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deploy.exporter import backlog, events, health, workers

PARTS = (events.figures, health.figures, workers.figures)


class StateCollector(Collector):
    """Figures computed from state, so that they exist once however many processes there are."""

    def __init__(self, client: redis.Redis, *, most_sites: int) -> None:
        self._client = client
        self._most_sites = most_sites

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask Redis."""
        return []

    def collect(self) -> Iterator[Metric]:
        started = time.perf_counter()
        try:
            found = [family for part in PARTS for family in part(self._client)]
            found += backlog.figures(self._client, most_sites=self._most_sites)
        except redis.RedisError:
            yield gauge("hippocamp_job_store_up", "1 when Redis answered the exporter", 0)
            return
        yield gauge("hippocamp_job_store_up", "1 when Redis answered the exporter", 1)
        yield from found
        spent = time.perf_counter() - started
        yield gauge("hippocamp_exporter_seconds", "Seconds the exporter spent on this scrape", spent)


def gauge(name: str, about: str, value: float) -> Metric:
    """A family of one sample."""
    return GaugeMetricFamily(name, about, value=value)
