"""Webhook endpoints of a site: where to send, the secrets in force, and whether it still wants them."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.client import Pipeline

from jobstore import keys

MOST_ENDPOINTS = 20
"""Of one site, those that are off included: each job that ends owes each of them a delivery."""


@dataclass(frozen=True)
class Secret:
    """A `whsec_` key (Standard Webhooks 1.0.0); until_ms: last moment it still signs, None = in force."""

    key: str
    until_ms: int | None = None


@dataclass(frozen=True)
class Endpoint:
    """A receiver. Its id starts with `whe_`; disabled: why nothing is sent any more, "" while it is on."""

    id: str
    site: str
    url: str
    secrets: tuple[Secret, ...]
    created_ms: int
    disabled: str = ""

    @property
    def shown_url(self) -> str:
        """Without a user and password, which older revisions took."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def keys(self, now_ms: int) -> list[str]:
        """The keys that sign at this time, newest first: two of them while a rotation lasts."""
        return [s.key for s in self.secrets if s.until_ms is None or s.until_ms > now_ms]

    def rotated(self, now_ms: int, *, overlap_seconds: float = 86400) -> Endpoint:
        """With a fresh key; the ones before it go on signing for the overlap."""
        until = now_ms + int(overlap_seconds * 1000)
        old = [replace(s, until_ms=min(until, s.until_ms or until)) for s in self.secrets]
        kept = [s for s in old if (s.until_ms or 0) > now_ms]
        return replace(self, secrets=(Secret(new_key()), *kept))


def new_key() -> str:
    """24 random bytes as the standard writes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def new_endpoint(site: str, url: str, *, now_ms: int, token: str = "") -> Endpoint:
    """An endpoint with its first key; `add` puts it in force. The same token gets the same id every time."""
    named = (
        hashlib.sha256(f"endpoint\0{site}\0{token}".encode()).hexdigest()[:32] if token else uuid.uuid4().hex
    )
    return Endpoint(f"whe_{named}", site, url, (Secret(new_key()),), now_ms)


def save(client: redis.Redis, endpoint: Endpoint) -> None:
    """Put it in force: jobs that end from now on owe it a delivery; a disabled one is kept apart."""
    with client.pipeline(transaction=True) as pipe:
        _put(pipe, endpoint)
        pipe.execute()


def add(client: redis.Redis, endpoint: Endpoint) -> Endpoint | None:
    """Put it in force, and return it; or what is there under its id, however late this call reaches Redis.

    None when the site has as many endpoints as it may.
    """
    kept: list[Endpoint] = []

    def put(pipe: Pipeline) -> None:
        known = find(pipe, endpoint.site, endpoint.id)
        there = sum(int(cast("Any", pipe.hlen(key))) for key in _keys(endpoint.site))
        pipe.multi()
        kept[:] = [known] if known else [endpoint] if there < MOST_ENDPOINTS else []
        if kept and not known:
            _put(pipe, endpoint)

    client.transaction(put, *_keys(endpoint.site))
    return kept[0] if kept else None


def _put(pipe: Pipeline, endpoint: Endpoint) -> None:
    on, off = _keys(endpoint.site)
    into, out_of = (off, on) if endpoint.disabled else (on, off)
    pipe.hset(into, endpoint.id, json.dumps(asdict(endpoint)))
    pipe.hdel(out_of, endpoint.id)


def _keys(site: str) -> tuple[str, str]:
    """Endpoints in force, and those that are off."""
    return keys.endpoints(site), keys.endpoints_off(site)


def change(
    client: redis.Redis, site: str, endpoint_id: str, how: Callable[[Endpoint], Endpoint]
) -> Endpoint | None:
    """Put `how` of it in its place, whoever else changes it at the same time; None when there is none."""

    new: list[Endpoint] = []

    def put(pipe: Pipeline) -> None:
        found = find(pipe, site, endpoint_id)
        pipe.multi()
        new[:] = [how(found)] if found else []
        if new:
            _put(pipe, new[0])

    client.transaction(put, *_keys(site))
    return new[0] if new else None


def disable(client: redis.Redis, endpoint: Endpoint, why: str) -> None:
    """Send nothing there any more; an endpoint that was removed meanwhile stays removed."""
    change(client, endpoint.site, endpoint.id, lambda found: replace(found, disabled=why))


def enable(client: redis.Redis, site: str, endpoint_id: str) -> Endpoint | None:
    """Announce there again, whatever it was disabled for; None when there is none."""
    return change(client, site, endpoint_id, lambda found: replace(found, disabled=""))


def remove(client: redis.Redis, site: str, endpoint_id: str) -> bool:
    """Forget it; deliveries still owed to it will fail. False when there was none."""
    return sum(int(client.hdel(key, endpoint_id)) for key in _keys(site)) > 0


def find(client: redis.Redis, site: str, endpoint_id: str) -> Endpoint | None:
    """The endpoint of this site, on or off; None when there is none."""
    for key in _keys(site):
        if text := cast("str | None", client.hget(key, endpoint_id)):
            return _parse(text)
    return None


def list_all(client: redis.Redis, site: str) -> list[Endpoint]:
    """All endpoints of the site, oldest first."""
    found: list[Any] = []
    for key in _keys(site):
        found += cast("list[Any]", client.hvals(key))
    return sorted((_parse(text) for text in found), key=lambda e: (e.created_ms, e.id))


def _parse(text: str) -> Endpoint:
    data = json.loads(text)
    return Endpoint(**{**data, "secrets": tuple(Secret(**s) for s in data["secrets"])})
