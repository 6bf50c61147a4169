"""The caller that tests stand for: a configured site with its key, under the quotas a new site gets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import httpx
import redis

from jobstore import api_keys, sites
from jobstore.api_keys import Scope


@dataclass(frozen=True)
class Hospital:
    """One site and a key of it."""

    site: str
    key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries; nothing in open mode, where there is no key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def environment(self) -> dict[str, str]:
        """What the `hippocamp` command and the client read."""
        return {"HIPPOCAMP_API_KEY": self.key}

    def http(self, url: str, *, timeout_seconds: float = 60) -> httpx.Client:
        """A client of the gateway at `url` that sends the key; close it."""
        return httpx.Client(base_url=url, headers=self.headers, timeout=timeout_seconds, trust_env=False)


def configure(
    client: redis.Redis, name: str, *, scopes: frozenset[Scope] = frozenset(Scope), **quotas: object
) -> Hospital:
    """Add the site as `hippocamp-admin sites add` does; quotas that are not given are the default ones."""
    sites.save(client, sites.Site(name=name, **quotas))  # type: ignore[arg-type]  # names are Site's own
    text, _ = api_keys.issue(client, name, scopes, now_ms=int(time.time() * 1000))
    return Hospital(name, text)
