"""What one site has, another neither sees, nor changes, nor learns of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from flask.testing import FlaskClient

from contracts.states import Stage
from jobstore import deployed, keys
from jobstore.result_cache import cache_key
from jobstore.store import JobStore
from tests.integration.gateway.conftest import nifti
from tests.integration.sites.conftest import RAW, Caller

pytestmark = [pytest.mark.integration, pytest.mark.isolation]
Submit = Callable[..., str]


def send(http: FlaskClient, caller: Caller, seed: int = 0, **headers: str) -> object:
    return http.post(
        "/v1/jobs", data=nifti(seed=seed), headers=caller.headers | headers, content_type=RAW
    )  # fmt: skip


def test_lists_hold_only_ones_own(http: FlaskClient, north: Caller, south: Caller, submit: Submit) -> None:
    ours = {submit(north, seed) for seed in range(3)}
    theirs = {submit(south, seed) for seed in range(2)}
    for caller, expected in ((north, ours), (south, theirs)):
        listed = http.get("/v1/jobs", headers=caller.headers).json["jobs"]
        assert {job["id"] for job in listed} == expected


def test_a_batch_belongs_to_its_site(http: FlaskClient, north: Caller, south: Caller) -> None:
    made = http.post("/v1/batches", json={}, headers=north.headers)
    batch_id = made.json["id"]
    assert http.get(f"/v1/batches/{batch_id}", headers=south.headers).status_code == 404
    intruding = send(http, south, **{"Hippocamp-Batch": batch_id})
    unknown = send(http, south, 1, **{"Hippocamp-Batch": "bat_" + "0" * 32})
    assert intruding.status_code == unknown.status_code == 404
    assert send(http, north, **{"Hippocamp-Batch": batch_id}).status_code == 202


def test_webhooks_belong_to_their_site(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, south: Caller, submit: Submit
) -> None:
    made = http.post("/v1/webhook-endpoints", json={"url": "https://a.example/"}, headers=north.headers)
    whe = made.json["id"]
    JobStore(redis_client).cancel(submit(south))
    assert redis_client.zcard(keys.deliveries("south")) == redis_client.zcard(keys.deliveries("north")) == 0
    JobStore(redis_client).cancel(submit(north))
    (delivery,) = http.get("/v1/webhook-deliveries", headers=north.headers).json["deliveries"]
    assert http.get("/v1/webhook-deliveries", headers=south.headers).json["deliveries"] == []
    assert http.get("/v1/webhook-endpoints", headers=south.headers).json["endpoints"] == []
    for method, path in (
        ("DELETE", f"/v1/webhook-endpoints/{whe}"),
        ("POST", f"/v1/webhook-endpoints/{whe}/rotate-secret"),
        ("POST", f"/v1/webhook-endpoints/{whe}/enable"),
        ("POST", f"/v1/webhook-deliveries/{delivery['id']}/replay"),
    ):
        assert http.open(path, method=method, headers=south.headers).status_code == 404, path


def test_a_cached_result_of_one_site_is_no_hit_for_another(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, south: Caller
) -> None:
    digest = send(http, north).json["content_digest"]
    for what in ("pipeline", "model"):
        deployed.publish(redis_client, what, what)
    key = cache_key("north", digest, pipeline="pipeline", model="model")
    redis_client.hset(keys.cached_names("north", digest), key, f"{key}:made")
    redis_client.set(f"{key}:made", "{}")
    assert send(http, north).status_code == 200
    theirs = send(http, south)
    assert (theirs.status_code, theirs.json["cache"]) == (202, "miss")


def test_equal_idempotency_keys_of_two_sites_are_two_jobs(
    http: FlaskClient, north: Caller, south: Caller
) -> None:
    key = {"Idempotency-Key": "study-1"}
    first, second = send(http, north, **key), send(http, south, **key)
    assert first.json["id"] != second.json["id"]
    assert send(http, north, **key).json["id"] == first.json["id"]


def test_an_erased_job_does_not_come_back_by_its_idempotency_key(http: FlaskClient, north: Caller) -> None:
    key = {"Idempotency-Key": "study-2"}
    job_id = send(http, north, **key).json["id"]
    http.delete(f"/v1/jobs/{job_id}", headers=north.headers)
    again = send(http, north, **key)
    assert (again.status_code, again.json["code"]) == (410, "job.erased")


def test_blobs_lie_under_their_site(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, south: Caller
) -> None:
    for caller in (north, south):
        send(http, caller)
    claims = JobStore(redis_client).claim(Stage.PREPROCESS, "w", limit=2)
    for claim in claims:
        assert claim.job.text("input_blob").startswith(f"inputs/{claim.job.site}/")
    assert {claim.job.site for claim in claims} == {"north", "south"}


def test_metrics_name_no_site_and_no_id(http: FlaskClient, north: Caller, submit: Submit) -> None:
    job_id = submit(north)
    text = http.get("/metrics").text
    assert "hippocamp_http_requests" in text
    assert job_id not in text
    assert "north" not in text
