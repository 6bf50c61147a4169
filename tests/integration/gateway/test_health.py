"""Liveness, readiness and metrics tell the truth."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.settings import Settings
from jobstore import deployed, keys
from operators.doctor.checks import advice

pytestmark = pytest.mark.integration


def test_ready_only_when_every_dependency_proved_itself(http: FlaskClient, redis_client: redis.Redis) -> None:
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json["ready"]) == (503, False)
    found = answer.json["dependencies"]
    assert {name: one["ok"] for name, one in found.items()} == {
        "line": True, "blobs": True, "disk": True, "audit": True, "preprocess": False, "model_server": False,
    }  # fmt: skip
    assert http.get("/readyz?only=line,blobs,audit").status_code == 200
    before = time.time()
    for what in ("preprocess", "model_server"):
        deployed.record_heartbeat(redis_client, what)
    answer = http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json["dependencies"]["model_server"]["age_seconds"] <= time.time() - before + 1
    redis_client.set(keys.health("model_server"), "1000")
    assert http.get("/readyz").status_code == 503
    assert http.get("/readyz?only=nonsense").json["code"] == "request.bad_value"


def test_an_idle_stage_is_woken_to_prove_itself(http: FlaskClient, redis_client: redis.Redis) -> None:
    def worker() -> None:
        assert redis_client.blpop(["preprocess"], timeout=60)
        deployed.record_heartbeat(redis_client, "preprocess")

    idle = threading.Thread(target=worker)
    idle.start()
    found = http.get("/readyz").json["dependencies"]
    idle.join()
    assert found["preprocess"]["ok"]
    http.get("/readyz")
    assert redis_client.llen("preprocess") == 0  # a fresh proof needs no wake-up


def test_probes_of_a_dead_stage_do_not_pile_up_wake_ups(http: FlaskClient, redis_client: redis.Redis) -> None:
    for _ in range(3):
        assert http.get("/readyz").status_code == 503
    assert redis_client.llen("preprocess") == 1


def test_not_ready_without_redis_or_disk(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder must be")
    app = create_app(
        Settings(
            redis_url="redis://127.0.0.1:1/0",
            blobs=str(tmp_path / "blobs"),
            audit=str(tmp_path / "blobs/log"),
        )
    )
    with app.test_client() as http:
        answer = http.get("/readyz")
        assert answer.status_code == 503
        assert [name for name, one in answer.json["dependencies"].items() if one["ok"]] == ["disk"]
        assert http.get("/livez").json == {"alive": True}
        assert http.get("/metrics").status_code == 200


def test_metrics_count_by_route_and_name_no_job(http: FlaskClient, finished: str) -> None:
    http.get(f"/v1/jobs/{finished}")
    http.get("/v1/jobs/job_0")
    text = http.get("/metrics").text
    assert 'hippocamp_http_requests_total{method="GET",route="/v1/jobs/<job_id>",status="200"}' in text
    assert 'hippocamp_http_requests_total{method="GET",route="/v1/jobs/<job_id>",status="404"}' in text
    assert "hippocamp_upload_bytes_total" in text
    assert finished not in text


def test_a_model_that_is_not_known_is_named(http: FlaskClient, redis_client: redis.Redis) -> None:
    """And `hippocamp-admin doctor` says what to do; once a known model works again, it is forgotten."""
    deployed.refuse(redis_client, "f" * 64)
    found = http.get("/readyz").json["dependencies"]["model_server"]
    assert (found["ok"], found["detail"]) == (False, f"runs the model {'f' * 64}, which is not known here")
    assert "HIPPOCAMP_MODELS" in advice("model_server", found)
    deployed.record_heartbeat(redis_client, "model_server")
    assert http.get("/readyz").json["dependencies"]["model_server"]["ok"]
