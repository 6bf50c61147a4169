"""Webhook endpoints and deliveries as the site sees them."""

from __future__ import annotations

import pytest
import redis
from flask.testing import FlaskClient

from contracts.errors import DeliveryFailed
from contracts.states import Stage
from jobstore import webhook_endpoints
from jobstore.store import JobStore
from tests.integration.gateway.conftest import form, nifti

pytestmark = pytest.mark.integration


@pytest.fixture
def endpoint(http: FlaskClient) -> dict[str, str]:
    answer = http.post("/v1/webhook-endpoints", json={"url": "https://pacs.example/hook"})
    assert answer.status_code == 201
    return dict(answer.json)


def test_a_secret_is_shown_once(
    http: FlaskClient, endpoint: dict[str, str], redis_client: redis.Redis
) -> None:
    assert endpoint["secret"].startswith("whsec_")
    (listed,) = http.get("/v1/webhook-endpoints").json["endpoints"]
    assert listed == {k: v for k, v in endpoint.items() if k != "secret"}
    stored = webhook_endpoints.find(redis_client, "here", endpoint["id"])
    assert stored is not None
    assert stored.keys(0) == [endpoint["secret"]]


def test_rotation_keeps_the_old_secret_for_a_while(
    http: FlaskClient, endpoint: dict[str, str], redis_client: redis.Redis
) -> None:
    fresh = http.post(f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret").json["secret"]
    stored = webhook_endpoints.find(redis_client, "here", endpoint["id"])
    assert stored is not None
    assert stored.keys(0) == [fresh, endpoint["secret"]]


def test_what_a_410_disabled_can_be_enabled_again(
    http: FlaskClient, endpoint: dict[str, str], redis_client: redis.Redis
) -> None:
    stored = webhook_endpoints.find(redis_client, "here", endpoint["id"])
    assert stored is not None
    webhook_endpoints.disable(redis_client, stored, "answered 410 Gone")
    (listed,) = http.get("/v1/webhook-endpoints").json["endpoints"]
    assert listed["disabled"] == "answered 410 Gone"
    answer = http.post(f"/v1/webhook-endpoints/{endpoint['id']}/enable")
    assert (answer.status_code, answer.json) == (200, listed | {"disabled": None})
    assert webhook_endpoints.find(redis_client, "here", endpoint["id"]) == stored
    assert http.post("/v1/webhook-endpoints/whe_none/enable").status_code == 404


def test_removal(http: FlaskClient, endpoint: dict[str, str]) -> None:
    assert http.delete(f"/v1/webhook-endpoints/{endpoint['id']}").status_code == 204
    answer = http.delete(f"/v1/webhook-endpoints/{endpoint['id']}")
    assert (answer.status_code, answer.json["code"]) == (404, "webhook.endpoint_not_found")
    assert http.post(f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret").status_code == 404
    assert http.get("/v1/webhook-endpoints").json == {"endpoints": []}


@pytest.mark.parametrize("body", [{}, {"url": "ftp://x/"}, {"url": "x"}, {"url": "https://x/", "a": 1}, []])
def test_bad_endpoints(http: FlaskClient, body: object) -> None:
    assert http.post("/v1/webhook-endpoints", json=body).json["code"] == "request.bad_value"


def test_bodies_that_are_no_json(http: FlaskClient) -> None:
    for data, kind, code in (
        (b"{", "application/json", "request.bad_value"),
        (b"{}", "text/plain", "request.unsupported_media_type"),
        (b'"' + b"x" * 70_000, "application/json", "request.too_large"),
    ):
        assert http.post("/v1/webhook-endpoints", data=data, content_type=kind).json["code"] == code


def test_deliveries_are_in_the_open_and_replayed(
    http: FlaskClient, endpoint: dict[str, str], submitted: str, redis_client: redis.Redis
) -> None:
    job_store = JobStore(redis_client)
    job_store.cancel(submitted)
    (owed,) = http.get("/v1/webhook-deliveries").json["deliveries"]
    assert (owed["job_id"], owed["event"], owed["state"]) == (submitted, "job.canceled", "pending")
    assert owed["endpoint_id"] == endpoint["id"]
    again = f"/v1/webhook-deliveries/{owed['id']}/replay"
    assert http.post(again).json["code"] == "job.wrong_state"
    (claim,) = job_store.claim(Stage.DELIVER, "w")
    job_store.fail(claim, DeliveryFailed("answered 500"))
    (owed,) = http.get("/v1/webhook-deliveries").json["deliveries"]
    assert (owed["state"], owed["last_error"]) == ("failed", "answered 500")
    assert owed["response_status"] is None
    answer = http.post(again)
    assert (answer.status_code, answer.json["state"]) == (202, "pending")
    assert http.post("/v1/webhook-deliveries/whd_0_0/replay").json["code"] == "webhook.delivery_not_found"
    assert http.post(f"/v1/webhook-deliveries/{submitted}/replay").status_code == 404


def test_deliveries_are_paged_and_filtered(
    http: FlaskClient, endpoint: dict[str, str], redis_client: redis.Redis
) -> None:
    job_store = JobStore(redis_client)
    for seed in range(5):
        job_store.cancel(http.post("/v1/jobs", data=form(nifti(seed=seed))).json["id"])
    (claim,) = job_store.claim(Stage.DELIVER, "w")
    job_store.fail(claim, DeliveryFailed("answered 500"), {"response_status": 500})
    seen, after = [], ""
    while after is not None:
        page = http.get(f"/v1/webhook-deliveries?limit=2{after and '&after=' + after}").json
        seen += [one["id"] for one in page["deliveries"]]
        after = page["next"]
    assert len(seen) == len(set(seen)) == 5
    (failed,) = http.get("/v1/webhook-deliveries?state=failed").json["deliveries"]
    assert (failed["id"], failed["response_status"]) == (claim.id, 500)
    assert http.get("/v1/webhook-deliveries?after=nonsense").json["code"] == "request.bad_value"
