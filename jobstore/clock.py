"""Redis's clock: every time in the job store is by it, so that machines whose clocks differ agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import redis


def now_ms(client: redis.Redis) -> int:
    """Unix milliseconds."""
    seconds, micros = cast("Any", client.time())
    return int(seconds) * 1000 + int(micros) // 1000


def now_seconds(client: redis.Redis) -> float:
    """Unix seconds, to the microsecond."""
    seconds, micros = cast("Any", client.time())
    return float(seconds) + float(micros) / 1e6
