"""Which replica has the least waiting: all processes count their requests in flight in one Redis."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis

from jobstore import keys

_PAUSE_SECONDS = 2.0
_TAKE = """
-- Takes the replica with the fewest volumes in flight, the first of equals; entries of the dead run out.
-- KEYS: a zset of requests in flight per replica   ARGV: seconds an entry lasts | member "<id>:<volumes>"
local now = tonumber(redis.call('TIME')[1])
local best, least
for n, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  local waiting = 0
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    waiting = waiting + tonumber(string.match(member, '%d+$'))
  end
  if not best or waiting < least then best, least = n, waiting end
end
redis.call('ZADD', KEYS[best], now + ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[best], ARGV[1])
return best
"""


class RequestsInFlight:
    """Volumes that each replica has now. While Redis cannot be had, replicas take turns."""

    def __init__(self, client: redis.Redis, *, entry_seconds: int) -> None:
        """entry_seconds: after which the entry of a process that died is forgotten."""
        self._redis = client
        self._take = client.register_script(_TAKE)
        self._entry_seconds = entry_seconds
        self._away_until = 0.0
        self.turns = itertools.count()

    @contextmanager
    def least_waiting(self, urls: Sequence[str], *, volumes: int) -> Iterator[str]:
        """The url with the fewest volumes, equals in turn; it has `volumes` more inside the block."""
        first = next(self.turns) % len(urls)
        turned = [*urls[first:], *urls[:first]]
        member = f"{uuid.uuid4().hex}:{volumes}"
        chosen = self._enter(turned, member)
        try:
            yield chosen
        finally:
            self._leave(chosen, member)

    def _enter(self, urls: Sequence[str], member: str) -> str:
        if time.monotonic() < self._away_until:
            return urls[0]
        try:
            found = self._take(keys=[keys.asked(url) for url in urls], args=[self._entry_seconds, member])
        except redis.RedisError:
            self._away_until = time.monotonic() + _PAUSE_SECONDS
            return urls[0]
        return urls[int(found) - 1]

    def _leave(self, url: str, member: str) -> None:
        if time.monotonic() < self._away_until:
            return
        try:
            self._redis.zrem(keys.asked(url), member)
        except redis.RedisError:
            self._away_until = time.monotonic() + _PAUSE_SECONDS
