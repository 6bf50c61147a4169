"""Web sessions: a cookie stands for a key; Redis knows only the cookie's hash and the key's prefix."""

from __future__ import annotations

import hashlib
import secrets
from typing import cast

import redis
from flask import request
from werkzeug.wrappers import Response

COOKIE = "hippocamp_session"
SECONDS = 8 * 3600


def open_session(client: redis.Redis, prefix: str, response: Response) -> None:
    """Log the browser in with the key of this prefix, for a working day."""
    value = secrets.token_urlsafe(32)
    client.set(_record(value), prefix, ex=SECONDS)
    response.set_cookie(
        COOKIE, value, max_age=SECONDS, httponly=True, samesite="Strict", secure=request.is_secure
    )


def session_prefix(client: redis.Redis) -> str:
    """Prefix of the key that the request's cookie stands for; "" without a cookie or after its time."""
    value = request.cookies.get(COOKIE, "")
    return cast("str | None", client.get(_record(value))) or "" if value else ""


def close_session(client: redis.Redis, response: Response) -> None:
    """Log the browser out, here and in Redis."""
    if value := request.cookies.get(COOKIE, ""):
        client.delete(_record(value))
    response.delete_cookie(COOKIE, httponly=True, samesite="Strict")


def _record(value: str) -> str:
    return f"hc:session:{hashlib.sha256(value.encode()).hexdigest()}"
