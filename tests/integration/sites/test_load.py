"""What operators see: everything where they are told to, their own site otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import redis
from flask.testing import FlaskClient

from contracts.states import Stage
from gateway.app import create_app
from gateway.settings import Settings
from jobstore import heartbeats, webhook_endpoints
from jobstore.api_keys import Scope
from jobstore.store import JobStore
from tests.integration.gateway.conftest import nifti
from tests.integration.sites.conftest import Caller

pytestmark = [pytest.mark.integration, pytest.mark.isolation]


def send(http: FlaskClient, who: Caller, seed: int) -> str:
    answer = http.post(
        "/v1/jobs", data=nifti(seed=seed), headers=who.headers, content_type="application/octet-stream"
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])


def test_an_admin_sees_only_the_own_site(http: FlaskClient, north: Caller, south: Caller) -> None:
    for seed in range(3):
        send(http, north, seed)
    send(http, south, 9)
    seen = http.get("/v1/load", headers=south.headers).json
    assert seen["scope"] == "site"
    assert [one["site"] for one in seen["sites"]] == ["south"]
    assert seen["stages"]["preprocess"]["waiting"] == 1
    assert seen["stages"]["preprocess"]["running"] is None
    assert sum(seen["received_per_minute"]) == 1
    assert seen["workers"] == []
    assert "north" not in str(seen)


def test_operators_see_every_site_worker_and_failing_receiver(
    settings: Settings, redis_client: redis.Redis, north: Caller, south: Caller
) -> None:
    webhook_endpoints.save(
        redis_client, webhook_endpoints.new_endpoint("south", "https://away.example/hook", now_ms=1)
    )
    heartbeats.tell(redis_client, lambda now: heartbeats.Pool("host/1", ("preprocess",), 2, now - 5000, now))
    with create_app(replace(settings, operators="north, east")).test_client() as http:
        send(http, north, 1)
        send(http, south, 2)
        job_store = JobStore(redis_client)
        for claim in job_store.claim(Stage.PREPROCESS, "w", limit=2):
            job_store.advance(claim, Stage.INFER)
        for claim in job_store.claim(Stage.INFER, "w", limit=2):
            job_store.succeed(claim, {"result": "{}"})
        (owed,) = job_store.claim(Stage.DELIVER, "w", limit=5)
        job_store.release(owed, "no answer within 10 s", delay_seconds=5)
        seen = http.get("/v1/load", headers=north.headers).json
    assert seen["scope"] == "all"
    assert {one["site"]: one["jobs"]["succeeded"] for one in seen["sites"]} == {"north": 1, "south": 1}
    assert seen["stages"]["preprocess"]["started"] == 2
    assert seen["ended"]["succeeded"] == 2
    assert [(pool["name"], pool["slots"], pool["silent"]) for pool in seen["workers"]] == [
        ("host/1", 2, False)
    ]
    (failing,) = seen["webhooks"]
    assert (failing["site"], failing["failing"], failing["last_error"]) == (
        "south",
        1,
        "no answer within 10 s",
    )
    assert abs(seen["at"] - time.time()) < 60


def test_readers_see_no_operations(http: FlaskClient, key: Callable[..., Caller]) -> None:
    reader = key("north", frozenset({Scope.READ, Scope.SUBMIT}))
    assert http.get("/v1/load", headers=reader.headers).status_code == 403
