"""What `doctor` tries by itself where the environment names a place: blobs, models, traces."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httpx

from client.errors import Unavailable
from operators.doctor.checks import Finding, Verdict
from operators.redis_access import redis_at

if TYPE_CHECKING:
    from runtime.disk_space import Disk


def place_checks() -> Iterator[Finding]:
    """One finding a place that is named; none for what is not."""
    if folder := os.environ.get("HIPPOCAMP_BLOBS"):
        yield _blobs(folder)
    yield from _disks()
    if cache := os.environ.get("HIPPOCAMP_CACHE_REDIS_URL"):
        yield _cache(cache)
    for url in os.environ.get("HIPPOCAMP_MODEL_SERVER", "").split(","):
        if url.strip():
            yield _model_server(url.strip())
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if address := os.environ.get(name):
            yield _receiver(address)


def _blobs(folder: str) -> Finding:
    if "://" in folder and not folder.startswith("file://"):
        return Finding("blob folder", Verdict.SKIPPED, "not a folder; /readyz asks it from the gateway")
    path = Path(folder.removeprefix("file://"))
    if not os.access(path, os.W_OK):
        shown = "may not be written here" if path.exists() else "is not here"
        advice = "Make it, or give its rights to the services' user; mend HIPPOCAMP_BLOBS"
        return Finding("blob folder", Verdict.BAD, f"{path} {shown}", advice)
    return Finding("blob folder", Verdict.GOOD, f"{path} can be written")


def _disks() -> Iterator[Finding]:
    """The disks of the folders that are named, by the rule that the gateway refuses volumes by."""
    from runtime.disk_space import Disks
    from runtime.settings import env_count

    blobs = os.environ.get("HIPPOCAMP_BLOBS", "").removeprefix("file://")
    folder = Path(blobs) if blobs and "://" not in blobs else None
    reserve = env_count("DISK_RESERVE_BYTES", 2 << 30)
    for disk in Disks.of(folder, os.environ.get("HIPPOCAMP_REDIS_FOLDER", ""), reserve):
        yield _disk(disk)


def _disk(disk: Disk) -> Finding:
    if disk.is_low:
        advice = "Free the disk or shorten retention: no volume is taken until there is room"
        return Finding("disk", Verdict.BAD, disk.describe(), advice)
    if disk.free < 2 * disk.reserve:
        advice = "Free the disk or shorten retention: soon no volume is taken"
        return Finding("disk", Verdict.ODD, disk.describe(), advice)
    return Finding("disk", Verdict.GOOD, disk.describe())


def _cache(address: str) -> Finding:
    """The server that may forget: without it nothing fails, but repeated bytes are computed anew."""
    try:
        with redis_at(address) as client:
            policy = cast("dict[str, str]", client.config_get("maxmemory-policy"))["maxmemory-policy"]
    except (Unavailable, SystemExit) as error:
        advice = "Start it, or mend HIPPOCAMP_CACHE_REDIS_URL: until then repeated bytes are computed anew"
        return Finding("cache", Verdict.ODD, str(error), advice)
    good = policy.startswith("allkeys-")
    advice = "" if good else "Set maxmemory and maxmemory-policy allkeys-lru: full, it would take no result"
    return Finding("cache", Verdict.GOOD if good else Verdict.ODD, f"answers, {policy}", advice)


def _model_server(url: str) -> Finding:
    """Its /ping only, which says nothing of its workers: /readyz tells of the last canary inference."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/ping", timeout=5, trust_env=False)
    except (httpx.HTTPError, ValueError) as error:
        advice = "Start TorchServe there, or mend HIPPOCAMP_MODEL_SERVER"
        return Finding("model server", Verdict.BAD, f"{url}: {type(error).__name__}: {error}", advice)
    asks_for_token = answer.status_code == 400 and b"InvalidKeyException" in answer.content
    good = answer.status_code == 200 or asks_for_token
    advice = "" if good else "Its workers died or never started: read its log"
    shown = "asks for its token" if asks_for_token else f"answers {answer.status_code}"
    return Finding("model server", Verdict.GOOD if good else Verdict.BAD, f"{url} {shown}", advice)


def _receiver(url: str) -> Finding:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=3):
            return Finding("traces", Verdict.GOOD, f"sent to {parts.hostname}:{port}")
    except OSError as error:
        advice = "Start the collector, or unset the variable; jobs go on without"
        return Finding("traces", Verdict.ODD, f"{parts.hostname}:{port}: {error}", advice)
