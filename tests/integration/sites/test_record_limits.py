"""How much one site may leave in Redis: endpoints, owed deliveries, jobs, batches, results, sessions."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis
from flask.testing import FlaskClient

from contracts.job import Submission, new_job_id
from contracts.states import Stage
from gateway.access.sessions import COOKIE, MOST_SESSIONS
from jobstore import batches, keys, sites, webhook_endpoints
from jobstore.result_cache import CacheEntry
from jobstore.store import JobStore
from tests.integration.gateway.conftest import finish, nifti
from tests.integration.sites.conftest import RAW, Caller

__all__ = ["finish"]

HOOK = {"url": "https://example.org/hook"}


def send(http: FlaskClient, caller: Caller, seed: int = 0) -> object:
    return http.post("/v1/jobs", data=nifti(seed=seed), content_type=RAW, headers=caller.headers)


def test_a_site_has_twenty_webhook_endpoints(http: FlaskClient, north: Caller, south: Caller) -> None:
    made = [http.post("/v1/webhook-endpoints", json=HOOK, headers=north.headers) for _ in range(20)]
    assert {answer.status_code for answer in made} == {201}
    answer = http.post("/v1/webhook-endpoints", json=HOOK, headers=north.headers)
    assert (answer.status_code, answer.json["code"]) == (409, "webhook.too_many_endpoints")
    assert "remove one" in answer.json["detail"]
    assert http.post("/v1/webhook-endpoints", json=HOOK, headers=south.headers).status_code == 201
    gone = f"/v1/webhook-endpoints/{made[0].json['id']}"
    assert http.delete(gone, headers=north.headers).status_code == 204
    assert http.post("/v1/webhook-endpoints", json=HOOK, headers=north.headers).status_code == 201


def test_one_that_is_off_counts_too(http: FlaskClient, redis_client: redis.Redis, north: Caller) -> None:
    for _ in range(20):
        http.post("/v1/webhook-endpoints", json=HOOK, headers=north.headers)
    webhook_endpoints.disable(redis_client, webhook_endpoints.list_all(redis_client, "north")[0], "410")
    answer = http.post("/v1/webhook-endpoints", json=HOOK, headers=north.headers)
    assert answer.status_code == 409


def owed(client: redis.Redis, site: str) -> int:
    return int(client.get(keys.deliveries_owed(site)) or 0)


def test_a_site_that_is_owed_too_many_deliveries_gets_nothing_more_in(
    http: FlaskClient,
    redis_client: redis.Redis,
    new_site: Callable[..., sites.Site],
    key: Callable[..., Caller],
    finish: Callable[[str], None],
) -> None:
    new_site("busy", most_deliveries=3)
    caller = key("busy")
    for _ in range(2):
        http.post("/v1/webhook-endpoints", json=HOOK, headers=caller.headers)
    finish(send(http, caller).json["id"])
    assert owed(redis_client, "busy") == 2
    known = send(http, caller)
    assert (known.status_code, known.json["cache"]) == (200, "hit")
    assert owed(redis_client, "busy") == 4
    for seed in (0, 1):  # known or not
        answer = send(http, caller, seed)
        assert (answer.status_code, answer.json["code"]) == (429, "quota.exceeded")
        assert answer.json["quota"] == "deliveries"
        assert "endpoints" in answer.json["detail"]
    work_off(JobStore(redis_client))
    assert owed(redis_client, "busy") == 0
    assert send(http, caller, 1).status_code == 202


def work_off(job_store: JobStore) -> None:
    while found := job_store.claim(Stage.DELIVER, "test"):
        job_store.succeed(found[0], {"response_status": 204})


def test_what_is_owed_is_counted_right_whatever_becomes_of_it(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, finish: Callable[[str], None]
) -> None:
    job_store = JobStore(redis_client)
    http.post("/v1/webhook-endpoints", json=HOOK, headers=north.headers)
    job = send(http, north).json["id"]
    finish(job)
    (claim,) = job_store.claim(Stage.DELIVER, "test")
    job_store.release(claim, "no answer", delay_seconds=0)
    assert owed(redis_client, "north") == 1
    work_off(job_store)
    assert owed(redis_client, "north") == 0
    assert job_store.replay(claim.id)
    assert owed(redis_client, "north") == 1
    job_store.erase(job_store.get(job))
    assert owed(redis_client, "north") == 0


def test_a_site_keeps_so_many_jobs(
    http: FlaskClient,
    new_site: Callable[..., sites.Site],
    key: Callable[..., Caller],
    finish: Callable[[str], None],
) -> None:
    new_site("full", most_kept=2)
    caller = key("full")
    finish(send(http, caller).json["id"])
    assert send(http, caller).status_code == 200
    answer = send(http, caller)
    assert (answer.status_code, answer.json["quota"]) == (429, "kept"), answer.text
    first = http.get("/v1/jobs", headers=caller.headers).json["jobs"][0]["id"]
    assert http.delete(f"/v1/jobs/{first}", headers=caller.headers).status_code in {200, 204}
    assert send(http, caller).status_code == 200


def test_a_site_opens_so_many_batches_without_a_job(
    http: FlaskClient, north: Caller, south: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_UNUSED", 3)
    opened = [http.post("/v1/batches", json={}, headers=north.headers) for _ in range(3)]
    answer = http.post("/v1/batches", json={}, headers=north.headers)
    assert (answer.status_code, answer.json["code"]) == (409, "batch.too_many_unused")
    assert "send jobs to them" in answer.json["detail"]
    assert http.post("/v1/batches", json={}, headers=south.headers).status_code == 201
    headers = north.headers | {"Hippocamp-Batch": opened[0].json["id"]}
    assert http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=headers).status_code == 202
    assert http.post("/v1/batches", json={}, headers=north.headers).status_code == 201


def test_the_same_bytes_have_so_many_cached_results(job_store: JobStore) -> None:
    """Each age, sex and model makes another."""
    kept = 0
    for number in range(70):
        upload = {"input_blob": f"b{number}", "size_bytes": 1, "media": "m"}
        job = Submission(id=new_job_id(), site="north", content_digest="c", **upload)
        job_store.submit(job)
        (claim,) = job_store.claim(Stage.PREPROCESS, "test")
        job_store.advance(claim, Stage.INFER)
        (claim,) = job_store.claim(Stage.INFER, "test")
        job_store.succeed(claim, {"result": "{}"}, cache=CacheEntry(f"cache:north:c:{number}", "{}", 60))
        kept += job_store.redis.exists(f"cache:north:c:{number}:{job.id}:{claim.fence}")
    assert job_store.redis.hlen(keys.cached_names("north", "c")) == kept == 64


def test_a_key_has_so_many_sessions_and_the_oldest_ends(
    http: FlaskClient, redis_client: redis.Redis, north: Caller
) -> None:
    cookies = []
    for _ in range(MOST_SESSIONS + 2):
        http.delete_cookie(COOKIE)
        http.post("/login", data={"key": north.text})
        cookies.append(http.get_cookie(COOKIE).value)
    assert len(set(cookies)) == len(cookies)
    standing = []
    for value in cookies:
        http.set_cookie(COOKIE, value)
        standing.append(http.get("/v1/jobs").status_code)
    assert standing == [401, 401] + [200] * MOST_SESSIONS


def test_the_endpoint_limit_holds_however_many_ask_at_once(redis_client: redis.Redis) -> None:
    import threading

    def add() -> None:
        for _ in range(5):
            webhook_endpoints.add(
                redis_client, webhook_endpoints.new_endpoint("north", HOOK["url"], now_ms=1)
            )

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(webhook_endpoints.list_all(redis_client, "north")) == webhook_endpoints.MOST_ENDPOINTS
    assert json.loads(redis_client.hvals(keys.endpoints("north"))[0])["url"] == HOOK["url"]
