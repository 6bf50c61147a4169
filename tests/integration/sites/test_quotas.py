"""What a site may use: jobs waiting, bytes waiting, requests a second; one site's limits are no other's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient

from contracts.errors import NotAHead
from contracts.states import Stage
from gateway.app import create_app
from gateway.settings import Settings
from jobstore import keys
from jobstore.sites import Site
from jobstore.store import JobStore
from runtime.blobs import BlobStore
from tests.integration.gateway.conftest import nifti
from tests.integration.gateway.live import serving
from tests.integration.sites.conftest import RAW, Caller
from tests.support.hospital import configure

pytestmark = [pytest.mark.integration, pytest.mark.isolation]
Make = Callable[..., Site]
Keys = Callable[..., Caller]


def post(http: FlaskClient, caller: Caller, seed: int) -> object:
    return http.post("/v1/jobs", data=nifti(seed=seed), headers=caller.headers, content_type=RAW)


def test_jobs_that_may_wait(
    http: FlaskClient, new_site: Make, key: Keys, redis_client: redis.Redis, blobs: BlobStore
) -> None:
    new_site("small", most_waiting=2)
    small, big = key("small"), key("big")
    assert [post(http, small, n).status_code for n in range(2)] == [202, 202]
    refused = post(http, small, 3)
    assert (refused.status_code, refused.json["code"]) == (429, "quota.exceeded")
    assert refused.json["retryable"] is True
    assert int(refused.headers["Retry-After"]) > 0
    assert post(http, big, 4).status_code == 202
    job_store = JobStore(redis_client)
    held = {
        job_store.get(job).text("input_blob")
        for job in redis_client.zrange(keys.jobs_of_site("small"), 0, -1)
    }
    assert len(held) == 2
    stored = blobs._fs.find(blobs._full("inputs/small"))
    assert len(stored) == 2, "the refused upload is not kept"
    job_store.claim(Stage.PREPROCESS, "w", limit=9)
    assert post(http, small, 5).status_code == 202


def test_an_upload_over_a_mebibyte_under_default_quotas(
    settings: Settings, redis_client: redis.Redis, key: Keys, new_site: Make
) -> None:
    """What hospitals send: room is asked for before the size is known, and the site has a quota of bytes."""
    new_site("hospital", requests_per_second=50.0)
    body = nifti(shape=(128, 128, 100))
    assert len(body) > 3 << 20
    app = create_app(replace(settings, max_upload_bytes=1 << 30))
    with app.test_client() as http:
        answer = http.post("/v1/jobs", data=body, headers=key("hospital").headers, content_type=RAW)
    assert answer.status_code == 202, answer.text
    assert redis_client.get(keys.held_bytes("hospital")) == str(len(body))


def test_bytes_that_may_wait(http: FlaskClient, new_site: Make, key: Keys, redis_client: redis.Redis) -> None:
    size = len(nifti())
    new_site("small", most_bytes=2 * size)
    small = key("small")
    assert [post(http, small, n).status_code for n in range(3)] == [202, 202, 429]
    job_store = JobStore(redis_client)
    first, second = job_store.claim(Stage.PREPROCESS, "w", limit=2)
    assert post(http, small, 4).status_code == 429, "running uploads count"
    job_store.fail(first, NotAHead("x"))
    assert post(http, small, 5).status_code == 202
    job_store.cancel(second.id)
    assert redis_client.get(keys.held_bytes("small")) == str(size)


def test_requests_a_second(http: FlaskClient, new_site: Make, key: Keys) -> None:
    new_site("slow", requests_per_second=2)
    slow, free = key("slow"), key("free")
    answers = [http.get("/v1/jobs", headers=slow.headers) for _ in range(6)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:4] == [200] * 4
    assert 429 in statuses[4:]
    assert answers[0].headers["RateLimit-Policy"] == '"site";q=4;w=2'
    assert answers[0].headers["RateLimit"] == '"site";r=3;t=1'
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["RateLimit"] == '"site";r=0;t=1'
    assert http.get("/v1/jobs", headers=free.headers).status_code == 200
    assert "RateLimit" not in http.get("/v1/jobs", headers=free.headers).headers


def test_a_cached_answer_needs_no_place_in_the_line(
    http: FlaskClient, new_site: Make, key: Keys, redis_client: redis.Redis
) -> None:
    from jobstore import deployed
    from jobstore.result_cache import cache_key

    new_site("small", most_waiting=1)
    small = key("small")
    first = post(http, small, 0)
    for what in ("pipeline", "model"):
        deployed.publish(redis_client, what, what)
    digest = first.json["content_digest"]
    key_ = cache_key("small", digest, pipeline="pipeline", model="model")
    redis_client.hset(keys.cached_names("small", digest), key_, f"{key_}:made")
    redis_client.set(f"{key_}:made", "{}")
    assert post(http, small, 0).status_code == 200
    assert post(http, small, 1).status_code == 429


def test_a_repeated_request_is_answered_although_its_own_job_fills_the_quota(
    settings: Settings, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """The 202 was lost: the repetition with the same key meets the head's look at the quota first."""
    hospital = configure(redis_client, "small", most_waiting=1)
    headers = {"Idempotency-Key": "study-1", "Content-Type": RAW}
    body = nifti(shape=(64, 64, 32))
    with serving(settings.redis_url, tmp_path) as running, hospital.http(running.url) as http:
        first = http.post("/v1/jobs", content=body, headers=headers)
        assert first.status_code == 202, first.text
        again = http.post("/v1/jobs", content=body, headers=headers)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        other = http.post("/v1/jobs", content=body, headers=headers | {"Idempotency-Key": "study-2"})
        assert (other.status_code, other.json()["code"]) == (429, "quota.exceeded")
