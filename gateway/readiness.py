"""Whether each thing the service needs works right now."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping

import redis

from contracts import deployed
from contracts.errors import StoreUnavailable
from gateway.resources import Resources
from gateway.schemas import Dependency


def check(of: Resources) -> dict[str, Dependency]:
    """Every dependency by name; asks each of them, and raises for none."""
    return {name: ask(of) for name, ask in CHECKS.items()}


def _line(of: Resources) -> Dependency:
    started = time.monotonic()
    try:
        of.client.set("hc:health:gateway", f"{time.time():.3f}", ex=120)
    except redis.RedisError as error:
        return Dependency(ok=False, detail=f"Redis took no write: {type(error).__name__}")
    return Dependency(ok=True, detail=f"took a write in {(time.monotonic() - started) * 1000:.1f} ms")


def _blobs(of: Resources) -> Dependency:
    path = f"probes/{uuid.uuid4().hex}"
    try:
        of.blobs.put(path, b"ready")
        kept = of.blobs.get(path) == b"ready"
        of.blobs.delete(path)
    except (StoreUnavailable, FileNotFoundError) as error:
        return Dependency(ok=False, detail=str(error))
    return Dependency(ok=kept, detail="wrote, read and deleted a blob" if kept else "gave other bytes back")


def _proof(what: str) -> Callable[[Resources], Dependency]:
    def ask(of: Resources) -> Dependency:
        try:
            stamp = deployed.health(of.client, what)
        except redis.RedisError:
            return Dependency(ok=False, detail="unknown while Redis is away")
        if stamp is None:
            return Dependency(ok=False, detail="never proved that it works, or not lately")
        age = max(0.0, time.time() - stamp)
        fresh = age <= of.settings.health_seconds
        return Dependency(
            ok=fresh, detail="did real work" if fresh else "is silent", age_seconds=round(age, 1)
        )

    return ask


CHECKS: Mapping[str, Callable[[Resources], Dependency]] = {
    "line": _line,
    "blobs": _blobs,
    "preprocess": _proof("preprocess"),
    "model_server": _proof("model_server"),
}
