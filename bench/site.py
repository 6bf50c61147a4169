"""The mode hospitals use: a bench sends as a configured site, under its key and its quotas."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

import httpx
import redis

from deploy.local.settings import LocalSettings
from jobstore import api_keys, sites
from jobstore.api_keys import Scope
from jobstore.sites import Site
from runtime.redis_connections import connect

NAME = "hospital"
Headers = Mapping[str, str]


@dataclass(frozen=True)
class Access:
    """A running system as its callers see it: where it is, and the headers of every request."""

    url: str
    headers: Headers = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Mode:
    """Who sends: the site as it will be configured; None in open mode, where nobody needs a key."""

    site: Site | None

    def __str__(self) -> str:
        """For the header that a bench prints; it names every quota that is not the default."""
        if self.site is None:
            return "open mode: no site, no key, no quota"
        usual, raised = Site(name=self.site.name), []
        for each in fields(Site):
            now, default = getattr(self.site, each.name), getattr(usual, each.name)
            raised += [f"{each.name} {now:,} instead of {default:,}"] if now != default else []
        return f"site mode: one configured site, its key, {', '.join(raised) or 'default quotas'}"

    def enter(self, settings: LocalSettings) -> Access:
        """Configure the site on the running system, and give it a key."""
        if self.site is None:
            return Access(settings.gateway_url)
        client = connect(settings.environment()["HIPPOCAMP_REDIS_URL"])
        try:
            return Access(settings.gateway_url, configure(client, self.site))
        finally:
            client.close()


OPEN = Mode(None)


def politely(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer to a request; one beyond the site's rate comes again when the answer says."""
    while (answer := ask()).status_code == httpx.codes.TOO_MANY_REQUESTS:
        time.sleep(float(answer.headers["Retry-After"]))
    return answer


def hospital(*, requests_per_second: float = 0, most_waiting: int = 0) -> Mode:
    """One site with default quotas; what is named is raised, for a bench that sends more than a hospital."""
    usual = Site(name=NAME)
    return Mode(
        Site(
            name=NAME,
            requests_per_second=requests_per_second or usual.requests_per_second,
            most_waiting=most_waiting or usual.most_waiting,
        )
    )


def configure(client: redis.Redis, site: Site) -> Headers:
    """Put the site in force; the headers of a key of it with every scope."""
    sites.save(client, site)
    key, _ = api_keys.issue(client, site.name, frozenset(Scope), now_ms=int(time.time() * 1000))
    return MappingProxyType({"Authorization": f"Bearer {key}"})
