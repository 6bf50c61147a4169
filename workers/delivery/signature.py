"""Standard Webhooks 1.0.0 signatures (https://www.standardwebhooks.com), symmetric scheme v1."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def sign(body: bytes, *, message_id: str, timestamp: int, keys: Sequence[str]) -> dict[str, str]:
    """The three headers; one signature per `whsec_` key, space-separated, so that keys can rotate.

    timestamp: Unix seconds of this attempt.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_mac(key, content)}" for key in keys),
    }


def _mac(key: str, content: bytes) -> str:
    secret = base64.b64decode(key.removeprefix("whsec_"), validate=True)
    return base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
