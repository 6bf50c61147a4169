"""How often a site may ask: its rate, and the RateLimit headers (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis

from contracts.errors import QuotaExceeded
from jobstore import keys
from jobstore.sites import Site

_LUA = Path(__file__).with_name("rate.lua").read_text()


@dataclass(frozen=True)
class Allowance:
    """Where a site stands: requests it may send at once, those left, seconds until more are back."""

    rate: float
    burst: int
    left: int
    reset_seconds: int
    granted: bool

    @property
    def headers(self) -> Mapping[str, str]:
        """`RateLimit-Policy` and `RateLimit`."""
        return {
            "RateLimit-Policy": f'"site";q={self.burst};w={math.ceil(self.burst / self.rate)}',
            "RateLimit": f'"site";r={self.left};t={self.reset_seconds}',
        }

    def enforce(self) -> None:
        """QuotaExceeded when this request was one too many."""
        if not self.granted:
            raise QuotaExceeded(
                f"The site sends more than {self.rate:g} requests a second;"
                f" come again in {self.reset_seconds} s",
                retry_after_seconds=self.reset_seconds,
                quota="rate",
            )


def spend(client: redis.Redis, site: Site) -> Allowance | None:
    """Count one request; None for a site without a rate."""
    rate = site.requests_per_second
    if not rate:
        return None
    burst = max(1, math.ceil(2 * rate))
    answer = cast("Any", client.eval(_LUA, 1, keys.rate(site.name), str(rate), str(burst)))
    taken, left, wait_ms = (int(value) for value in answer)
    return Allowance(rate, burst, left, math.ceil(wait_ms / 1000), granted=bool(taken))
