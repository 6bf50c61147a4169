"""API keys: long random secrets, kept only as slow hashes, looked up by their public prefix."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast

import redis

from jobstore import keys

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ID, _SECRET = 8, 32
"""Characters of the public and of the secret part: 47 and 190 random bits."""


class Scope(StrEnum):
    """What a key may do: hand in volumes, see results, change the site's own settings and erase."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """One key as it is stored; `prefix` may be shown and logged, the secret is not here.

    until_ms: last moment it is good, None = no end. disabled: nobody may use it any more.
    """

    prefix: str
    site: str
    scopes: frozenset[Scope]
    salt: str
    digest: str
    created_ms: int
    until_ms: int | None = None
    disabled: bool = False

    def in_force(self, now_ms: int) -> bool:
        """Whether it opens anything at this time."""
        return not self.disabled and (self.until_ms is None or now_ms < self.until_ms)

    def matches(self, text: str) -> bool:
        """Whether this is the key's text: one scrypt (about 50 ms, 16 MB), compared in constant time."""
        return hmac.compare_digest(slow_hash(text, self.salt), self.digest)

    def to_fields(self) -> dict[str, str]:
        """The Redis hash of the key."""
        return {
            "prefix": self.prefix,
            "site": self.site,
            "scopes": " ".join(sorted(self.scopes)),
            "salt": self.salt,
            "digest": self.digest,
            "created_ms": str(self.created_ms),
            "until_ms": "" if self.until_ms is None else str(self.until_ms),
            "disabled": "1" if self.disabled else "0",
        }

    @classmethod
    def from_fields(cls, fields: dict[str, str]) -> ApiKey:
        """Read what `to_fields` wrote."""
        return cls(
            prefix=fields["prefix"],
            site=fields["site"],
            scopes=frozenset(Scope(name) for name in fields["scopes"].split()),
            salt=fields["salt"],
            digest=fields["digest"],
            created_ms=int(fields["created_ms"]),
            until_ms=int(fields["until_ms"]) if fields["until_ms"] else None,
            disabled=fields["disabled"] == "1",
        )


def slow_hash(text: str, salt: str) -> str:
    """scrypt (RFC 7914) with N = 2^14, r = 8, p = 1, as base64."""
    raw = hashlib.scrypt(text.encode(), salt=base64.b64decode(salt), n=1 << 14, r=8, p=1, dklen=32)
    return base64.b64encode(raw).decode()


def prefix_of(text: str) -> str | None:
    """The public part of `hk_<site>_<id><secret>`; None for anything that cannot be a key."""
    head, _, tail = text.rpartition("_")
    mark, _, site = head.partition("_")
    shaped = len(tail) == _ID + _SECRET and tail.isalnum() and text.isascii()
    return f"{head}_{tail[:_ID]}" if mark == "hk" and site and shaped else None


def issue(
    client: redis.Redis, site: str, scopes: Iterable[Scope], *, now_ms: int, until_ms: int | None = None
) -> tuple[str, ApiKey]:
    """(the text, to be shown this once, and the stored key), in force from now on."""
    text = f"hk_{site}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_ID + _SECRET))
    salt = base64.b64encode(secrets.token_bytes(16)).decode()
    key = ApiKey(
        prefix=text[:-_SECRET],
        site=site,
        scopes=frozenset(scopes),
        salt=salt,
        digest=slow_hash(text, salt),
        created_ms=now_ms,
        until_ms=until_ms,
    )
    save(client, key)
    return text, key


def save(client: redis.Redis, key: ApiKey) -> None:
    """Put it, or its change, in force at once."""
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(keys.api_key(key.prefix), mapping=cast("Any", key.to_fields()))
        pipe.sadd(keys.api_keys_of(key.site), key.prefix)
        pipe.execute()


def find(client: redis.Redis, prefix: str) -> ApiKey | None:
    """The key with this prefix, whether in force or not."""
    fields = cast("dict[str, str]", client.hgetall(keys.api_key(prefix)))
    return ApiKey.from_fields(fields) if fields else None


def list_all(client: redis.Redis, site: str) -> list[ApiKey]:
    """The site's keys, oldest first."""
    prefixes = cast("set[str]", client.smembers(keys.api_keys_of(site)))
    found = [key for key in (find(client, prefix) for prefix in prefixes) if key]
    return sorted(found, key=lambda key: (key.created_ms, key.prefix))


def rotate(
    client: redis.Redis, key: ApiKey, *, now_ms: int, overlap_seconds: float = 86400
) -> tuple[str, ApiKey]:
    """A new key with the same scopes; the old one stays good for the overlap."""
    fresh = issue(client, key.site, key.scopes, now_ms=now_ms)
    ends = now_ms + int(overlap_seconds * 1000)
    save(client, replace(key, until_ms=min(ends, key.until_ms or ends)))
    return fresh


def disable(client: redis.Redis, key: ApiKey) -> None:
    """End a key now; the next request that uses it is refused."""
    save(client, replace(key, disabled=True))
