"""Who pays for reading uploads: the CPU seconds of sandboxed children are charged to the site that sends."""

from __future__ import annotations

import logging
from pathlib import Path

import redis

from jobstore import keys
from runtime.redis_failures import about

_LUA = Path(__file__).with_name("charge.lua").read_text()
_FREE_SECONDS = 0.2
"""What a plain scan takes costs nothing, not even a question to Redis."""

_log = logging.getLogger("hippocamp.gateway")


def charge(client: redis.Redis, site: str, cpu_seconds: float) -> None:
    """Note what was spent. A site without a limit, or none, pays nothing."""
    if cpu_seconds < _FREE_SECONDS:
        return
    try:
        client.eval(_LUA, 2, keys.reading(site), keys.site(site), f"{cpu_seconds:.3f}")
    except redis.RedisError as error:
        _log.warning("reading.not_charged", extra={"site": site, "seconds": cpu_seconds, **about(error)})
