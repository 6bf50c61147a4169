"""Signatures made by the standard's own library pass; all others do not."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from client.errors import BadSignature
from client.webhooks import verify

SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = json.dumps({"type": "job.succeeded", "data": {"job_id": "job_1"}})
NOW = 1_700_000_000


def signed(secret: str = SECRET, at: int = NOW) -> dict[str, str]:
    signature = Webhook(secret).sign("whd_1", datetime.fromtimestamp(at, tz=UTC), BODY)
    return {"Webhook-Id": "whd_1", "Webhook-Timestamp": str(at), "Webhook-Signature": signature}


def test_a_good_one() -> None:
    assert verify(BODY.encode(), signed(), SECRET, now=NOW + 10)["type"] == "job.succeeded"


def test_one_of_several_signatures_is_enough() -> None:
    mine, other = signed()["Webhook-Signature"], signed(OTHER)["Webhook-Signature"]
    both = signed() | {"Webhook-Signature": f"v1a,xx v1,### {other} {mine}"}
    assert verify(BODY.encode(), both, SECRET, now=NOW)


@pytest.mark.parametrize(
    ("body", "headers", "secret", "now"),
    [
        (BODY + " ", signed(), SECRET, NOW),
        (BODY, signed(), OTHER, NOW),
        (BODY, signed(), SECRET, NOW + 301),
        (BODY, signed(), SECRET, NOW - 301),
        (BODY, signed() | {"Webhook-Id": "whd_2"}, SECRET, NOW),
        (BODY, signed() | {"Webhook-Timestamp": "soon"}, SECRET, NOW),
        (BODY, {}, SECRET, NOW),
        (BODY, signed(), "whsec_no base64", NOW),
    ],
)
def test_bad_ones(body: str, headers: dict[str, str], secret: str, now: int) -> None:
    with pytest.raises(BadSignature):
        verify(body.encode(), headers, secret, now=now)
