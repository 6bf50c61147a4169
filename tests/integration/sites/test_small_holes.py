"""What a key, a list, a cookie or a log line must not give away."""

from __future__ import annotations

import errno
import json
import logging
import ssl
from collections.abc import Callable

import httpcore
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from contracts.states import Stage
from gateway.access.sessions import COOKIE
from gateway.jobs import views
from jobstore import keys, webhook_endpoints
from jobstore.api_keys import Scope
from jobstore.store import JobStore
from runtime.blobs import BlobStore
from runtime.logs import JsonLines
from runtime.redis_failures import frames_of
from tests.integration.gateway.conftest import finish, nifti
from tests.integration.sites.conftest import RAW, Caller
from workers.delivery.failures import reason_for_site
from workers.delivery.targets import TargetRefused, resolve

__all__ = ["finish"]

CANARY = "Zqxcanary"


def send(http: FlaskClient, caller: Caller, **headers: str) -> dict[str, object]:
    answer = http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=caller.headers | headers)
    assert answer.status_code in {200, 202}, answer.text
    return dict(answer.json)


def test_a_key_that_may_only_submit_learns_no_outcome(
    http: FlaskClient, north: Caller, key: Callable[..., Caller], finish: Callable[[str], None]
) -> None:
    sender = key("north", frozenset({Scope.SUBMIT}))
    first = send(http, north)["id"]
    finish(str(first))
    for headers in ({}, {"Prefer": "wait=1"}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}):
        known = send(http, sender, **headers)
        assert (known["state"], known["cache"], known["outcome"]) == ("succeeded", "hit", None)
    assert send(http, north)["outcome"] == {"cdr": ">=1", "label": "mild or worse", "uncertain": False}


def test_cancelling_shows_it_no_more(http: FlaskClient, key: Callable[..., Caller]) -> None:
    sender = key("north", frozenset({Scope.SUBMIT}))
    job = send(http, sender)["id"]
    assert http.post(f"/v1/jobs/{job}/cancel", headers=sender.headers).json["outcome"] is None
    assert http.get(f"/v1/jobs/{job}", headers=sender.headers).status_code == 403


@pytest.mark.parametrize("user", ["user:pw@", "user@", ":pw@"])
def test_a_webhook_address_with_a_password_is_refused(http: FlaskClient, north: Caller, user: str) -> None:
    url = f"https://{user}hook.example.org/x"
    answer = http.post("/v1/webhook-endpoints", json={"url": url}, headers=north.headers)
    assert (answer.status_code, answer.json["code"]) == (400, "request.bad_value")
    assert "check the signature" in answer.json["detail"]
    assert "pw" not in answer.json["detail"]
    assert http.get("/v1/webhook-endpoints", headers=north.headers).json["endpoints"] == []


def test_one_that_was_taken_before_is_shown_without_it(
    http: FlaskClient, redis_client: redis.Redis, north: Caller
) -> None:
    old = webhook_endpoints.new_endpoint("north", "https://user:pw@hook.example.org:8443/x?y=1", now_ms=1)
    webhook_endpoints.save(redis_client, old)
    webhook_endpoints.disable(redis_client, old, "gone")
    (shown,) = http.get("/v1/webhook-endpoints", headers=north.headers).json["endpoints"]
    assert shown["url"] == "https://hook.example.org:8443/x?y=1"
    assert "pw" not in http.get("/v1/load", headers=north.headers).text


def refused_target() -> TargetRefused:
    with pytest.raises(TargetRefused) as caught:
        resolve("127.0.0.1", 80, allow=())
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        refused_target(),
        httpcore.ConnectError("[Errno 111] connecting to 10.1.2.3:9390 failed"),
        httpcore.ReadTimeout("10.1.2.3"),
        httpcore.RemoteProtocolError("illegal status line: b'-ERR 10.1.2.3'"),
        ssl.SSLError("certificate of 10.1.2.3"),
        OSError(errno.ENETUNREACH, "10.1.2.3"),
        ValueError("10.1.2.3"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_delivery_tells_the_site_no_address_of_ours(error: Exception) -> None:
    told = reason_for_site(error)
    assert told != "The delivery failed"
    for part in ("10.1.2.3", "127.0.0.1", "9390", "Errno", type(error).__name__):
        assert part not in told


def test_the_list_of_deliveries_shows_the_same(
    http: FlaskClient, redis_client: redis.Redis, north: Caller, finish: Callable[[str], None]
) -> None:
    http.post("/v1/webhook-endpoints", json={"url": "http://localhost:9/x"}, headers=north.headers)
    finish(str(send(http, north)["id"]))
    job_store = JobStore(redis_client)
    (claim,) = job_store.claim(Stage.DELIVER, "test")
    job_store.release(claim, reason_for_site(refused_target()), delay_seconds=5)
    (shown,) = http.get("/v1/webhook-deliveries", headers=north.headers).json["deliveries"]
    assert shown["last_error"].startswith("The name leads to an address that is not public")


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Every line as it is written."""
    return "\n".join(JsonLines("gateway").format(record) for record in caplog.records)


def test_an_unexpected_error_is_logged_without_what_was_sent(
    http: FlaskClient, north: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        try:
            int(CANARY)
        except ValueError as error:
            raise KeyError(CANARY) from error

    monkeypatch.setattr(views, "receipt", broken)
    with caplog.at_level(logging.DEBUG):
        answer = http.post(
            f"/v1/jobs?patient={CANARY}",
            data=nifti(),
            content_type=RAW,
            headers=north.headers | {"User-Agent": CANARY, "Cookie": f"a={CANARY}"},
        )
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    text = logged(caplog)
    assert "request.failed" in text
    assert "test_small_holes.py" in text, "it still says where"
    assert "KeyError" in text
    assert "ValueError" in text
    assert CANARY not in text + answer.text


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        (f"/v1/{CANARY}", b"", RAW),
        ("/v1/batches", b'{"' + CANARY.encode() + b'": 1}', "application/json"),
        ("/v1/batches", CANARY.encode(), "application/json"),
        ("/v1/jobs", CANARY.encode() * 30, RAW),
        ("/v1/jobs", CANARY.encode(), f"text/{CANARY}"),
        ("/dicom-web/studies", CANARY.encode(), f'multipart/related; boundary="{CANARY}"'),
    ],
)
def test_a_bad_request_leaves_nothing_of_it_in_the_log(
    http: FlaskClient, north: Caller, caplog: pytest.LogCaptureFixture, path: str, data: bytes, kind: str
) -> None:
    with caplog.at_level(logging.INFO):
        answer = http.post(path, data=data, content_type=kind, headers=north.headers)
    assert 400 <= answer.status_code < 500
    assert CANARY.lower() not in logged(caplog).lower()


def test_frames_end_at_a_cause_that_points_back() -> None:
    first, second = ValueError(CANARY), KeyError(CANARY)
    first.__context__, second.__context__ = second, first
    assert frames_of(first) == ["KeyError", "ValueError"]


def test_an_answer_that_blames_the_store_leaves_a_line_in_the_log(
    http: FlaskClient, north: Caller, blobs: BlobStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert blobs.folder
    blobs.folder.mkdir(parents=True, exist_ok=True)
    (blobs.folder / "inputs").write_text("a file where the folder must be")
    answer = http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=north.headers)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable.blobs")
    (told,) = [vars(one) for one in caplog.records if one.getMessage() == "request.not_served"]
    assert (told["code"], told["trace_id"]) == ("unavailable.blobs", answer.json["trace_id"])
    assert told["cause"]


def cookie_of(answer: object) -> str:
    (found,) = [text for text in answer.headers.getlist("Set-Cookie") if text.startswith(COOKIE)]  # type: ignore[attr-defined]
    return str(found)


def test_the_session_cookie(http: FlaskClient, north: Caller) -> None:
    plain = cookie_of(http.post("/login", data={"key": north.text}))
    for part in ("HttpOnly", "SameSite=Strict", "Max-Age=28800", "Path=/"):
        assert part in plain
    assert "Secure" not in plain, "a browser would not send it back over http"
    before = http.get_cookie(COOKIE).value
    secure = cookie_of(http.post("/login", data={"key": north.text}, base_url="https://localhost"))
    assert "Secure" in secure
    http.set_cookie(COOKIE, before)
    assert http.get("/v1/jobs").status_code == 401, "the session that a browser had ends at its next login"


def test_a_session_ends_by_itself_and_at_logout(
    app: Flask, http: FlaskClient, redis_client: redis.Redis, north: Caller
) -> None:
    http.post("/login", data={"key": north.text})
    (record,) = redis_client.keys(keys.session("*"))
    assert 0 < redis_client.ttl(record) <= 8 * 3600
    value = http.get_cookie(COOKIE).value
    http.post("/logout", headers={"Origin": "http://localhost"})
    http.set_cookie(COOKIE, value)
    assert http.get("/v1/jobs").status_code == 401
    assert json.loads(http.get("/v1/jobs").text)["code"] == "auth.required"


def test_the_step_of_a_stage_ends_with_it(
    http: FlaskClient, redis_client: redis.Redis, north: Caller
) -> None:
    job_store, job = JobStore(redis_client), str(send(http, north)["id"])

    def progress() -> dict[str, object]:
        return dict(http.get(f"/v1/jobs/{job}", headers=north.headers).json["progress"])

    (claim,) = job_store.claim(Stage.PREPROCESS, "test")
    job_store.renew(claim, step="register")
    assert progress() == {"stage": "preprocess", "step": "register"}
    job_store.release(claim, "told to stop")
    (claim,) = job_store.claim(Stage.PREPROCESS, "test")
    assert progress() == {"stage": "preprocess", "step": None}
    job_store.renew(claim, step="slices")
    job_store.advance(claim, Stage.INFER, {"stack_blob": "s", "pipeline_digest": "p"})
    job_store.claim(Stage.INFER, "test")
    assert progress() == {"stage": "infer", "step": None}
