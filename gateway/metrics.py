"""Figures for Prometheus: what this service counts itself, and what Redis's state tells about the line."""

from __future__ import annotations

import os
import time
from collections import Counter as Counts
from collections.abc import Iterator, Mapping
from typing import cast

import redis
from flask import Flask, Response, g, request
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from contracts.states import JobState, Stage

_requests = Counter("hippocamp_http_requests", "Requests answered", ["method", "route", "status"])
_seconds = Histogram(
    "hippocamp_http_request_seconds",
    "Wall time from the first byte of the request to the answer",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
_uploaded = Counter("hippocamp_upload_bytes", "Bytes of submissions read")


def count_upload(size_bytes: int) -> None:
    """Note bytes read from a submission."""
    _uploaded.inc(size_bytes)


def observe_requests(app: Flask) -> None:
    """Count and time every request by its route, never by its address: addresses hold job ids."""

    def start() -> None:
        g.started = time.perf_counter()

    def finish(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        _requests.labels(request.method, route, response.status_code).inc()
        _seconds.labels(request.method, route).observe(time.perf_counter() - g.started)
        return response

    app.before_request(start)
    app.after_request(finish)


def exposition(client: redis.Redis) -> bytes:
    """The text format; a registry made for this request, so that gunicorn's processes add up."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(cast("Collector", REGISTRY))
    registry.register(_LineState(client))
    return generate_latest(registry)


class _LineState(Collector):
    """Gauges and totals read from Redis at scrape time, so that they exist once however many gateways run."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("hippocamp_line_up", "1 when Redis answered")
        try:
            families = list(self._families())
        except redis.RedisError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from families

    def _families(self) -> Iterator[Metric]:
        depth, totals, pace = (self._numbers(f"hc:{name}") for name in ("depth", "totals", "pace"))
        smoothed = {stage: ms / 1000 for stage, ms in pace.items()}
        yield _gauge("hippocamp_waiting", "Records that wait, by stage", "stage", depth)
        yield _gauge("hippocamp_running", "Records that are claimed, by stage", "stage", self._sizes("lease"))
        yield _gauge("hippocamp_delayed", "Waiting, with a not-before time", "stage", self._sizes("later"))
        yield _gauge("hippocamp_pace_seconds", "Smoothed seconds a record holds a slot", "stage", smoothed)
        yield _gauge("hippocamp_jobs", "Jobs of all sites, by state", "state", self._states())
        yield _gauge("hippocamp_garbage_blobs", "Blobs that wait to be deleted", "", {"": self._garbage()})
        events = CounterMetricFamily("hippocamp_line_events", "What happened in the line", labels=["event"])
        for event, count in totals.items():
            events.add_metric([event], count)
        yield events

    def _numbers(self, key: str) -> dict[str, float]:
        raw = cast("dict[str, str]", self._client.hgetall(key))
        return {name: float(value) for name, value in raw.items()}

    def _sizes(self, what: str) -> dict[str, float]:
        return {stage: self._client.zcard(f"hc:{what}:{stage}") for stage in Stage}

    def _garbage(self) -> float:
        return self._client.llen("hc:garbage")

    def _states(self) -> dict[str, float]:
        sums: Counts[str] = Counts()
        for site in cast("set[str]", self._client.smembers("hc:sites")):
            sums.update({state: int(count) for state, count in self._numbers(f"hc:count:{site}").items()})
        return {state: float(sums[state]) for state in JobState}


def _gauge(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label] if label else [])
    for key, value in values.items():
        family.add_metric([key] if label else [], value)
    return family
