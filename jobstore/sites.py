"""Sites: who shares the machine, how large each one's share is, and what it may use of it."""

from __future__ import annotations

import ipaddress
import json
import math
import re
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

from jobstore import keys

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
"""Names stand in keys, paths and API keys: lower-case letters, digits and inner hyphens, 40 at most."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """One site. In every quota and in `retention_seconds`, 0 sets no limit.

    weight: share of the turns among sites that wait; claim.lua reads it at every turn.
    most_waiting, most_bytes: jobs that may wait, and bytes of uploads not yet worked off (submit.lua).
    most_deliveries: webhook deliveries it may be owed before nothing more of it is taken.
    most_kept: jobs that are kept at a time, whatever their state.
    requests_per_second: sustained rate; twice as many may come at once.
    reading_cpu: CPU seconds a second that reading its uploads may take; 60 of them at once.
    quarantine_seconds: how long the upload of a job that we failed is kept for a second look; 0, as long as
        the site asked for nothing else: it goes when the job ends, as every upload.
    webhook_allow: networks its webhooks may reach although they are not public, as CIDR.
    allow_contrast: whether a contrast-enhanced T1 series is read when a study has no plain one.
    """

    name: str
    enabled: bool = True
    weight: float = 1.0
    most_waiting: int = 10_000
    most_bytes: int = 100 << 30
    most_deliveries: int = 50_000
    most_kept: int = 250_000
    requests_per_second: float = 50.0
    reading_cpu: float = 1.0
    retention_seconds: int = 30 * 86400
    quarantine_seconds: int = 0
    webhook_allow: tuple[str, ...] = ()
    allow_contrast: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is no site name: lower-case letters, digits, inner hyphens, at most 40"
            )
        if not (math.isfinite(self.weight) and 0.01 <= self.weight <= 100):
            raise ValueError(f"weight {self.weight:g} must lie between 0.01 and 100")
        limits = (
            self.most_waiting, self.most_bytes, self.most_deliveries, self.most_kept,
            self.requests_per_second, self.reading_cpu, self.retention_seconds, self.quarantine_seconds,
        )  # fmt: skip
        if min(limits) < 0:
            raise ValueError("quotas and times cannot be negative")
        for text in self.webhook_allow:
            ipaddress.ip_network(text)

    def to_fields(self) -> dict[str, str]:
        """The Redis hash of the site."""
        flags = {"enabled": int(self.enabled), "allow_contrast": int(self.allow_contrast)}
        plain = asdict(self) | flags | {"webhook_allow": json.dumps(self.webhook_allow)}
        return {name: str(value) for name, value in plain.items()}

    @classmethod
    def from_fields(cls, fields: dict[str, str]) -> Site:
        """Read what `to_fields` wrote."""
        return cls(
            name=fields["name"],
            enabled=fields["enabled"] == "1",
            weight=float(fields["weight"]),
            most_waiting=int(fields["most_waiting"]),
            most_bytes=int(fields["most_bytes"]),
            most_deliveries=int(fields.get("most_deliveries", cls.most_deliveries)),
            most_kept=int(fields.get("most_kept", cls.most_kept)),
            requests_per_second=float(fields["requests_per_second"]),
            reading_cpu=float(fields.get("reading_cpu", cls.reading_cpu)),
            retention_seconds=int(fields["retention_seconds"]),
            quarantine_seconds=int(fields.get("quarantine_seconds", cls.quarantine_seconds)),
            webhook_allow=tuple(json.loads(fields["webhook_allow"])),
            allow_contrast=fields.get("allow_contrast") == "1",
        )


def save(client: redis.Redis, site: Site) -> None:
    """Put it in force at once, everywhere."""
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(keys.site(site.name), mapping=cast("Any", site.to_fields()))
        pipe.sadd(keys.CONFIGURED, site.name)
        pipe.execute()


def find(client: redis.Redis, name: str) -> Site | None:
    """The site of this name, None when nobody configured it."""
    return parse(cast("dict[str, str]", client.hgetall(keys.site(name))))


def allows_contrast(client: redis.Redis, name: str) -> bool:
    """Whether the site has chosen to have contrast-enhanced series read."""
    site = find(client, name)
    return site is not None and site.allow_contrast


def parse(fields: dict[str, str]) -> Site | None:
    """A site's hash as read; None when it is no configured site (a bare weight is none)."""
    return Site.from_fields(fields) if "name" in fields else None


def list_all(client: redis.Redis) -> list[Site]:
    """All configured sites by name."""
    names = sorted(cast("set[str]", client.smembers(keys.CONFIGURED)))
    found = (find(client, name) for name in names)
    return [site for site in found if site is not None]


def any_configured(client: redis.Redis) -> bool:
    """Whether keys are needed on this installation."""
    return bool(client.exists(keys.CONFIGURED))
