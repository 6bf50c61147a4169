"""Whether this machine has sites yet: while it has none, it talks to itself without keys."""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis

from jobstore import sites

REMEMBER_SECONDS = 1.0
"""So long after the first site was added, this machine's own callers may still come without a key."""


@dataclass
class OpenMode:
    """Asks Redis once a second, not at every request."""

    _asked_at: float = float("-inf")

    def needs_keys(self, client: redis.Redis) -> bool:
        """True as soon as a site was seen."""
        now = time.monotonic()
        if now - self._asked_at < REMEMBER_SECONDS:
            return False
        if sites.any_configured(client):
            return True
        self._asked_at = now
        return False
