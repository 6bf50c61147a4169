"""Our signatures verify with the reference library, rotation included."""

from __future__ import annotations

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from jobstore.webhook_endpoints import Secret, new_endpoint, new_key
from workers.delivery.signature import sign

BODY = b'{"type": "job.succeeded"}'


def test_the_reference_library_accepts_it() -> None:
    key, now = new_key(), int(time.time())
    headers = sign(BODY, message_id="whd_1", timestamp=now, keys=[key])
    assert Webhook(key).verify(BODY, headers) == {"type": "job.succeeded"}
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_key()).verify(BODY, headers)


def test_while_a_rotation_lasts_both_keys_verify() -> None:
    old = new_endpoint("a", "https://example.org", now_ms=0)
    new = old.rotated(1000, overlap_seconds=10)
    keys = new.keys(5000)
    assert keys == [new.secrets[0].key, old.secrets[0].key]
    headers = sign(BODY, message_id="whd_1", timestamp=int(time.time()), keys=keys)
    for key in keys:
        Webhook(key).verify(BODY, headers)
    assert new.keys(11_001) == [new.secrets[0].key]


def test_a_second_rotation_does_not_lengthen_the_life_of_the_first_key() -> None:
    first = new_endpoint("a", "https://example.org", now_ms=0)
    third = first.rotated(1000, overlap_seconds=10).rotated(2000, overlap_seconds=10)
    assert [s.until_ms for s in third.secrets] == [None, 12_000, 11_000]
    assert third.rotated(20_000).secrets[-1] == Secret(third.secrets[0].key, 20_000 + 86_400_000)
