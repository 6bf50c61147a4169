"""Uploads that no job names: a gateway that died between the upload and the record leaves them behind."""

from __future__ import annotations

import logging

from workers.workplace import Workplace

_log = logging.getLogger("hippocamp.maintain")

EVERY_SECONDS = 600
OLD_SECONDS = 3600
"""No gateway takes this long from the last byte of an upload to its record."""


def collect(place: Workplace) -> int:
    """Put strays on the garbage list; how many. At most once in EVERY_SECONDS."""
    if not place.redis.set("hc:strays:asked", 1, nx=True, ex=EVERY_SECONDS):
        return 0
    strays = [path for path in place.blobs.older_than("inputs", OLD_SECONDS) if not _needed(place, path)]
    if strays:
        place.redis.rpush("hc:garbage", *strays)
        _log.warning("uploads.stray", extra={"count": len(strays)})
    return len(strays)


def _needed(place: Workplace, path: str) -> bool:
    return bool(place.redis.sismember("hc:inputs", path))
