"""Finished results by content, kept where they may be lost: beside the job store or on a Redis of their own.

    job store's Redis  cached_names   cache key -> name       written by the commit, under its fence
    cache's Redis      <name>         the result, with a TTL  written after it, as far as it goes

The job store knows every name before anything can stand under it, and each name is new (key, job, fence).
So a result that it has forgotten cannot be found, however late somebody writes it; and what erasing has to
delete is a list, STALE_RESULTS, that an entry leaves only once the cache's server has deleted it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, cast

import redis

from contracts.covariates import told_apart
from jobstore import deployed, keys
from runtime.redis_failures import about

_log = logging.getLogger("hippocamp.cache")

LATE_SECONDS = 60
"""A result is written so soon after its commit or not at all; erasing sweeps again long after that."""
_PAUSE_SECONDS = 2.0
_KEEP = """
if tonumber(redis.call('TIME')[1]) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


@dataclass(frozen=True)
class CacheEntry:
    """A finished result to keep under `key` for `ttl_seconds`, once its commit is through."""

    key: str
    value: str
    ttl_seconds: int


@dataclass(frozen=True)
class Known:
    """A finished result, the key it was found under, and what made it."""

    key: str
    value: str
    pipeline: str
    model: str


class AnswerCache:
    """A server that is away costs a hit, never a job: it is left alone for two seconds then."""

    def __init__(self, line: redis.Redis, kept_at: redis.Redis) -> None:
        self._job_store, self._kept_at = line, kept_at
        self._keep = kept_at.register_script(_KEEP)
        self._away_until = 0.0

    def find(self, site: str, content: str, *, model: str = "", covariates: str = "") -> Known | None:
        """What pipeline and model in service, or another model, made of these bytes with these covariates.

        None when that is not known, or its server is away.
        """
        with self._job_store.pipeline(transaction=False) as pipe:
            deployed.ask(pipe)
            pipe.hgetall(keys.cached_names(site, content))
            (pipeline, current), names = cast("tuple[list[str], dict[str, str]]", pipe.execute())
        model = model or current
        if not (pipeline and model):
            return None
        key = cache_key(site, content, pipeline=pipeline, model=model, covariates=covariates)
        value = self._tried(lambda: self._kept_at.get(names[key])) if key in names else None
        return Known(key, value, pipeline, model) if value else None

    def limit(self) -> int | None:
        """By the cache's own clock: the second after which `keep` comes too late. None: it is away."""
        now = self._tried(self._kept_at.time)
        return None if now is None else int(cast("Any", now)[0]) + LATE_SECONDS

    def keep(self, name: str, entry: CacheEntry, *, until: int) -> None:
        """Write the result under the name that its commit was given, unless it is too late."""
        self._tried(lambda: self._keep(keys=[name], args=[until, entry.value, entry.ttl_seconds]))

    def clear(self, *, most: int = 500) -> int:
        """Delete what the job store wants gone; how many. What cannot be deleted now stays on the list."""
        names = cast("list[str]", self._job_store.lrange(keys.STALE_RESULTS, 0, most - 1))
        if not names:
            return 0
        try:
            self._kept_at.delete(*names)
        except redis.RedisError as error:
            _log.warning("cache.not_cleared", extra={"count": len(names), **about(error)})
            return 0
        with self._job_store.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.lrem(keys.STALE_RESULTS, 1, name)
            pipe.execute()
        return len(names)

    def _tried(self, call: Any) -> Any:
        if time.monotonic() < self._away_until:
            return None
        try:
            return call()
        except redis.RedisError as error:
            self._away_until = time.monotonic() + _PAUSE_SECONDS
            _log.warning("cache.away", extra=about(error))
            return None


def cache_key(site: str, content: str, *, pipeline: str, model: str, covariates: str = "") -> str:
    """Redis key of a finished result; the site is part of it, so no site learns what another holds.

    covariates: as the record keeps them (contracts/covariates.py); the key does not show them.
    """
    apart = told_apart(content, covariates)
    return keys.cached_result(site, content, pipeline, model) + (f":{apart}" if apart else "")
