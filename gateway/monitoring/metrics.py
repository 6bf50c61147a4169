"""Figures for Prometheus that only the gateway can count; those of the job store come from the exporter."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.disk_space import Disks
from runtime.metrics import service_registry

_requests = Counter("hippocamp_http_requests", "Requests answered", ["method", "route", "status"])
_seconds = Histogram(
    "hippocamp_http_request_seconds",
    "Seconds that the application took for a request, without the time its client took",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
_refusals = Counter("hippocamp_refusals", "Answers that are problems, by code", ["code"])
_uploaded = Counter("hippocamp_upload_bytes", "Bytes of submissions read")


def count_upload(size_bytes: int) -> None:
    """Note bytes read from a submission."""
    _uploaded.inc(size_bytes)


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Note a request that was answered."""
    _requests.labels(method, route, status).inc()
    _seconds.labels(method, route).observe(seconds)


def observe_requests(app: Flask) -> None:
    """Count and time every request by its route, never by its address: addresses hold job ids."""

    def start() -> None:
        g.started = time.perf_counter()

    def finish(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        count_request(request.method, route, response.status_code, time.perf_counter() - g.started)
        return response

    app.before_request(start)
    app.after_request(finish)


def count_refusal(code: str) -> None:
    """Note an answer that is a problem, by its code: the codes are a fixed list."""
    _refusals.labels(code).inc()


def exposition(disks: Disks) -> bytes:
    """The text format: this service's own counters, all processes added up; and the disks."""
    space = CollectorRegistry()
    space.register(_DiskSpace(disks))
    return generate_latest(service_registry()) + generate_latest(space)


class _DiskSpace(Collector):
    """Every gateway process sees the same disks, so they are measured at the scrape and not added up."""

    def __init__(self, disks: Disks) -> None:
        self._disks = disks

    def collect(self) -> Iterator[Metric]:
        about = {
            "free": "Bytes that can still be written",
            "size": "Bytes of the disk",
            "reserve": "Bytes that are kept free: with less, no volume is taken",
        }
        found = list(self._disks)
        for part, text in about.items():
            family = GaugeMetricFamily(f"hippocamp_disk_{part}_bytes", text, labels=["disk"])
            for disk in found:
                family.add_metric([disk.name], getattr(disk, part))
            yield family
