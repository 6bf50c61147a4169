"""Receiving webhooks: is this body from the service, and fresh (Standard Webhooks 1.0.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from client.errors import BadSignature

TOLERANCE_SECONDS = 300


def verify(
    body: bytes, headers: Mapping[str, str], secret: str, *, now: float | None = None
) -> dict[str, Any]:  # fmt: skip
    """The event, once one of its signatures is made with `secret` (whsec_…) less than 5 minutes ago.

    `headers` may be of any case. Raises BadSignature; drop those whose `webhook-id` was seen before.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not (message_id and stamp.isdecimal()):
        raise BadSignature("webhook-id or webhook-timestamp is missing")
    age = (time.time() if now is None else now) - int(stamp)
    if abs(age) > TOLERANCE_SECONDS:
        raise BadSignature(f"the webhook was signed {age:.0f} s ago; check this machine's clock")
    wanted = hmac.new(_key(secret), f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    if not any(hmac.compare_digest(wanted, one) for one in _signatures(given.get("webhook-signature", ""))):
        raise BadSignature("no signature matches this secret")
    event: dict[str, Any] = json.loads(body)
    return event


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise BadSignature("the secret is no whsec_ key") from error


def _signatures(header: str) -> list[bytes]:
    found = []
    for item in header.split():
        version, _, text = item.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(text, validate=True))
            except binascii.Error:
                continue
    return found
