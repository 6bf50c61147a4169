"""API keys as requests present them: the slow hash is computed once, then remembered for a short while."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import cast

import redis

from contracts.errors import QuotaExceeded, Unauthenticated
from jobstore import api_keys, keys, sites
from jobstore.api_keys import ApiKey

_REMEMBER_SECONDS = 60.0
_MOST_REMEMBERED = 4096
_HASHES_AT_ONCE = 2
"""A flood of wrong secrets may not take every thread and 16 MB each."""


@dataclass
class Verifier:
    """Checks keys for one process. Only the slow hash is remembered, under the SHA-256 of the key's text;
    the key's own record and its site's are read at every request, so that disabling works at once."""

    _known: OrderedDict[bytes, tuple[str, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_HASHES_AT_ONCE))

    def verify(self, client: redis.Redis, text: str, *, now_ms: int) -> tuple[ApiKey, sites.Site]:
        """The key and its site; Unauthenticated, without saying why, when either is not in force."""
        prefix = api_keys.prefix_of(text)
        if prefix is None:
            raise _refusal()
        key, site = in_force(client, prefix, now_ms=now_ms)
        if not self._matches(text, key):
            raise _refusal()
        return key, site

    def _matches(self, text: str, key: ApiKey) -> bool:
        mark = hashlib.sha256(text.encode()).digest()
        known = self._remembered(mark, key)
        if known is not None:
            return known
        if not self._slots.acquire(timeout=2):
            raise QuotaExceeded("Too many keys are being checked; try again", retry_after_seconds=1)
        try:
            known = self._remembered(mark, key)  # of many that come at once, the first has been checked
            good = key.matches(text) if known is None else known
        finally:
            self._slots.release()
        if good and known is None:
            self._remember(mark, key.digest, time.monotonic() + _REMEMBER_SECONDS)
        return good

    def _remembered(self, mark: bytes, key: ApiKey) -> bool | None:
        with self._lock:
            digest, until = self._known.get(mark, ("", 0.0))
        return hmac.compare_digest(digest, key.digest) if time.monotonic() < until else None

    def _remember(self, mark: bytes, digest: str, until: float) -> None:
        with self._lock:
            self._known[mark] = (digest, until)
            self._known.move_to_end(mark)
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)


def in_force(client: redis.Redis, prefix: str, *, now_ms: int) -> tuple[ApiKey, sites.Site]:
    """The key with this prefix and its site, in one round trip; Unauthenticated when either is not good."""
    name = prefix.removeprefix("hk_").rpartition("_")[0]
    with client.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.api_key(prefix))
        pipe.hgetall(keys.site(name))
        fields, about = cast("list[dict[str, str]]", pipe.execute())
    site = sites.parse(about)
    if not fields or site is None:
        raise _refusal()
    key = ApiKey.from_fields(fields)
    if not (key.in_force(now_ms) and site.enabled and key.site == site.name):
        raise _refusal()
    return key, site


def _refusal() -> Unauthenticated:
    return Unauthenticated("The API key is unknown, ended or disabled")
