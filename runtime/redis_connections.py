"""One way to open Redis, by its own address or by its sentinels, with the limits every process must use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from runtime.settings import SettingError

_SENTINEL = "sentinel://"
_FORM = "sentinel://[user:password@]host:26379,host:26379,.../name-of-the-master[/database]"


@dataclass(frozen=True)
class Watched:
    """A Redis whose sentinels say where it is now.

    sentinels: (host, port) of each. master: the name they watch it under. access: user and password of Redis.
    """

    sentinels: tuple[tuple[str, int], ...]
    master: str
    database: int
    access: Mapping[str, str]

    @classmethod
    def parse(cls, url: str) -> Watched:
        """From `sentinel://host,host/master/0`; SettingError on anything else."""
        try:
            parts = urlsplit(url)
            user, _, hosts = parts.netloc.rpartition("@")
            master, _, database = parts.path.strip("/").partition("/")
            found = [_host(one) for one in hosts.split(",")]
            if not master or not all(host for host, _ in found):
                raise ValueError("it names no master, or no host")
            name, _, password = user.partition(":")
            access = {"username": unquote(name), "password": unquote(password)}
            return cls(tuple(found), master, int(database or 0), {k: v for k, v in access.items() if v})
        except ValueError as error:
            raise SettingError(f"{_FORM} is wanted, not {_without_password(url)}: {error}") from None

    def broker(self) -> tuple[str, dict[str, Any]]:
        """Address and transport options for kombu."""
        user = ":".join(quote(self.access.get(part, ""), safe="") for part in ("username", "password"))
        at = f"{user}@" if self.access else ""
        url = ";".join(f"{_SENTINEL}{at}{host}:{port}/{self.database}" for host, port in self.sentinels)
        return url, {"master_name": self.master}


def connect(url: str, *, timeout_seconds: float = 5, retries: int = 3) -> redis.Redis:
    """A client that connects at first use, never waits longer than its timeout, and reconnects by itself.

    With sentinels it asks them for the master at every new connection, so it follows a fail-over.
    """
    limits: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
    }
    options = limits | {
        "decode_responses": True,
        "health_check_interval": 15,
        "retry": Retry(ExponentialBackoff(cap=1, base=0.05), retries),
    }
    if not url.startswith(_SENTINEL):
        return redis.Redis.from_url(url, **options)
    watched = Watched.parse(url)
    # One that is away must not be asked again and again before the next one is.
    asked = Sentinel(list(watched.sentinels), sentinel_kwargs=limits | {"retry": Retry(NoBackoff(), 0)})  # type: ignore[no-untyped-call]
    options |= {"db": watched.database, **watched.access}
    return cast("redis.Redis", asked.master_for(watched.master, **options))  # type: ignore[no-untyped-call]


def broker(url: str) -> tuple[str, dict[str, Any]]:
    """The address and transport options under which Celery finds the same Redis."""
    return Watched.parse(url).broker() if url.startswith(_SENTINEL) else (url, {})


def connect_cache(url: str) -> redis.Redis | None:
    """A client that would rather miss than wait; None for "", which keeps the cache beside the job store."""
    return connect(url, timeout_seconds=0.5, retries=0) if url else None


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return (host, int(port)) if host else (text, 26379)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://...@{rest.rpartition('@')[2]}" if "@" in rest else url
