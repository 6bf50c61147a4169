"""Whether Redis keeps its promise to disk, when each part last proved itself, and what is in service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import redis
from prometheus_client.core import GaugeMetricFamily, Metric

from jobstore import deployed

PARTS = ("gateway", "preprocess", "infer", "model_server", "maintain")

REDIS = {
    "used_memory": ("hippocamp_redis_used_bytes", "Memory Redis uses"),
    "maxmemory": ("hippocamp_redis_limit_bytes", "Memory Redis may use, 0 = no limit"),
    "connected_clients": ("hippocamp_redis_clients", "Connections to Redis"),
    "uptime_in_seconds": ("hippocamp_redis_uptime_seconds", "Seconds since Redis started"),
    "evicted_keys": ("hippocamp_redis_evicted_keys", "Keys Redis dropped for memory since it started"),
    "instantaneous_ops_per_sec": ("hippocamp_redis_commands_per_second", "Commands Redis serves now"),
}
"""Field of INFO -> metric, what it says."""


def figures(client: redis.Redis) -> Iterator[Metric]:
    """Redis, proofs of life, build; RedisError when Redis does not answer."""
    info = client.info()
    yield from _redis(info)
    yield from _proofs(client)
    yield _build(client, str(info.get("redis_version", "")))


def _redis(info: dict[str, Any]) -> Iterator[Metric]:
    enabled = int(info.get("aof_enabled", 0))
    yield GaugeMetricFamily("hippocamp_redis_aof_enabled", "1 when Redis writes its log to disk", enabled)
    written = info.get("aof_last_write_status", "ok") == "ok"
    rewritten = info.get("aof_last_bgrewrite_status", "ok") == "ok"
    about = "1 when the last write and the last rewrite of the log both succeeded"
    yield GaugeMetricFamily("hippocamp_redis_aof_ok", about, int(written and rewritten))
    for field, (name, meaning) in REDIS.items():
        yield GaugeMetricFamily(name, meaning, float(info.get(field, 0)))


def _proofs(client: redis.Redis) -> Iterator[Metric]:
    about = "Seconds since a part last did real work, +Inf when not in the last two minutes"
    ages = GaugeMetricFamily("hippocamp_heartbeat_age_seconds", about, labels=["part"])
    for part in PARTS:
        stamp = deployed.health(client, part)
        ages.add_metric([part], float("inf") if stamp is None else max(0.0, time.time() - stamp))
    yield ages


def _build(client: redis.Redis, redis_version: str) -> Metric:
    pipeline, model = deployed.current(client)
    about = "Always 1; the labels say what is in service"
    family = GaugeMetricFamily(
        "hippocamp_build_info", about, labels=["version", "pipeline", "model", "redis"]
    )
    family.add_metric([version("hippocamp"), pipeline[:12], model[:12], redis_version], 1)
    return family
