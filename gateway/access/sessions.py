"""Web sessions: a cookie stands for a key or for a person whom the provider vouched for.

Redis knows only the cookie's hash, and the key's prefix or the person's site and scopes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import cast

import redis
from flask import request
from werkzeug.wrappers import Response

from gateway.access.bounded_records import Owner, keep_latest
from gateway.access.tokens import Token
from jobstore import keys
from jobstore.api_keys import Scope

COOKIE = "hippocamp_session"
SECONDS = 8 * 3600
MOST_SESSIONS = 20
"""Of one key or person at a time; a new one ends the oldest."""


@dataclass(frozen=True)
class Session:
    """Who is logged in: the prefix of a key, or what a provider's token said."""

    prefix: str = ""
    token: Token | None = None


def open_session(client: redis.Redis, who: Session, response: Response) -> None:
    """Log the browser in for a working day; the session that it had before ends."""
    value = secrets.token_urlsafe(32)
    if before := request.cookies.get(COOKIE, ""):
        client.delete(_record(before))
    _keep(client, who, _record(value))
    response.set_cookie(
        COOKIE, value, max_age=SECONDS, httponly=True, samesite="Strict", secure=request.is_secure
    )


def _keep(client: redis.Redis, who: Session, record: str) -> None:
    owner = who.prefix or f"oidc:{who.token.subject if who.token else ''}"
    key = keys.sessions(hashlib.sha256(owner.encode()).hexdigest())
    keep_latest(client, Owner(key, MOST_SESSIONS, SECONDS), record=record, text=_text(who))


def session(client: redis.Redis) -> Session | None:
    """Whom the request's cookie stands for; None without a cookie or after its time."""
    value = request.cookies.get(COOKIE, "") if "HTTP_COOKIE" in request.environ else ""
    text = cast("str | None", client.get(_record(value))) if value else None
    return _parse(text) if text else None


def close_session(client: redis.Redis, response: Response) -> None:
    """Log the browser out, here and in Redis."""
    if value := request.cookies.get(COOKIE, ""):
        client.delete(_record(value))
    response.delete_cookie(COOKIE, httponly=True, samesite="Strict", secure=request.is_secure)


def _text(who: Session) -> str:
    if who.token is None:
        return who.prefix
    token = who.token
    return json.dumps({"site": token.site, "scopes": sorted(token.scopes), "subject": token.subject})


def _parse(text: str) -> Session:
    if not text.startswith("{"):
        return Session(prefix=text)
    told = json.loads(text)
    return Session(token=Token(told["site"], frozenset(map(Scope, told["scopes"])), told["subject"]))


def _record(value: str) -> str:
    return keys.session(hashlib.sha256(value.encode()).hexdigest())
