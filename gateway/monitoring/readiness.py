"""Whether each thing the service needs works right now."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping

import redis
from pydantic import Field

from contracts.errors import DiskNearlyFull, StoreUnavailable
from contracts.states import Stage
from gateway.http.schemas import Dependency, Wire
from gateway.resources import Resources
from jobstore import deployed, keys
from jobstore.wakeups import wake
from runtime.audit import AuditLog
from runtime.redis_failures import failure_of


def check(of: Resources, names: Collection[str]) -> dict[str, Dependency]:
    """These dependencies by name; asks each of them and no other, and raises for none."""
    return {name: ask(of) for name, ask in CHECKS.items() if name in names}


def _line(of: Resources) -> Dependency:
    started = time.monotonic()
    try:
        of.client.set(keys.health("gateway"), f"{time.time():.3f}", ex=120)
    except redis.RedisError as error:
        return Dependency(ok=False, detail=f"Redis took no write: {failure_of(error).title}")
    return Dependency(ok=True, detail=f"took a write in {(time.monotonic() - started) * 1000:.1f} ms")


def _blobs(of: Resources) -> Dependency:
    path = f"probes/{uuid.uuid4().hex}"
    try:
        of.blobs.put(path, b"ready")
        kept = of.blobs.get(path) == b"ready"
        of.blobs.delete(path)
    except DiskNearlyFull:
        return Dependency(ok=True, detail="can be read; takes nothing while the disk is nearly full")
    except (StoreUnavailable, FileNotFoundError) as error:
        return Dependency(ok=False, detail=str(error))
    return Dependency(ok=kept, detail="wrote, read and deleted a blob" if kept else "gave other bytes back")


def _disk(of: Resources) -> Dependency:
    found = list(of.disks)
    shown = "; ".join(disk.describe() for disk in found) or "no disk of this machine is used"
    return Dependency(ok=not any(disk.is_low for disk in found), detail=shown)


def _audit(of: Resources) -> Dependency:
    try:
        AuditLog(of.settings.audit_file).probe()
    except StoreUnavailable as error:
        return Dependency(ok=False, detail=error.detail)
    return Dependency(ok=True, detail="can be written")


def _proof(what: str, *, asks: Stage | None = None) -> Callable[[Resources], Dependency]:
    """A check of the last proof of life; `asks`: the stage whose idle workers renew it when woken."""

    def ask(of: Resources) -> Dependency:
        try:
            age = _age(of, what)
            if asks and (age is None or age > of.settings.health_seconds / 2):
                _wake_once(of, asks)
            if asks and (age is None or age > of.settings.health_seconds):
                age = _age_after_waking(of, what)
            unknown = deployed.refused(of.client) if what == "model_server" else ""
            failed = deployed.failure(of.client, what)
        except redis.RedisError as error:
            return Dependency(ok=False, detail=f"unknown: {failure_of(error).title}")
        if unknown and (age is None or age > of.settings.health_seconds):
            return Dependency(ok=False, detail=f"runs the model {unknown}, which is not known here")
        if failed:
            return Dependency(ok=False, detail=f"failed its last test: {failed}", age_seconds=_rounded(age))
        if age is None:
            return Dependency(ok=False, detail="never proved that it works, or not lately")
        fresh = age <= of.settings.health_seconds
        return Dependency(
            ok=fresh, detail="did real work" if fresh else "is silent", age_seconds=_rounded(age)
        )

    return ask


def _rounded(age: float | None) -> float | None:
    return None if age is None else round(age, 1)


def _wake_once(of: Resources, stage: Stage) -> None:
    """Not while one lies there already: probes of a dead stage must not pile them up."""
    if not of.client.llen(str(stage)):
        wake(of.celery, stage)


def _age(of: Resources, what: str) -> float | None:
    stamp = deployed.health(of.client, what)
    return None if stamp is None else max(0.0, time.time() - stamp)


def _age_after_waking(of: Resources, what: str) -> float | None:
    for _ in range(10):
        time.sleep(0.1)
        age = _age(of, what)
        if age is not None and age < of.settings.health_seconds:
            return age
    return _age(of, what)


CHECKS: Mapping[str, Callable[[Resources], Dependency]] = {
    "line": _line,
    "blobs": _blobs,
    "disk": _disk,
    "audit": _audit,
    "preprocess": _proof("preprocess", asks=Stage.PREPROCESS),
    "model_server": _proof("model_server"),
}
_NAMES = "|".join(CHECKS)


class ReadyQuery(Wire):
    """Which dependencies are asked."""

    only: str | None = Field(
        default=None,
        pattern=f"^({_NAMES})(,({_NAMES}))*$",
        description="Comma-separated names; all when absent",
        examples=["line,blobs,audit"],
    )
