"""The installed command against a real gateway: output, exit statuses, webhooks."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import redis
from standardwebhooks.webhooks import Webhook

from jobstore import deployed
from model_store.release.card import read_card
from tests.conftest import free_port
from tests.integration.client.conftest import HIPPOCAMP, REFUSED_SEED, Carrier, Run, nifti

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    file = tmp_path / "v.nii"
    file.write_bytes(nifti())
    return file


def test_submit_and_wait(hippocamp: Run, volume: Path) -> None:
    done = hippocamp("submit", volume, "--wait")
    assert done.returncode == 0, done.stderr
    assert "CDR >=1  mild or worse" in done.stdout
    assert "Research use only" in done.stdout


def test_submit_from_standard_input_as_json(hippocamp: Run) -> None:
    done = hippocamp("submit", "-", "--wait", "--json", stdin=nifti(1))
    assert json.loads(done.stdout)["cdr"] == ">=1"


def test_the_life_of_a_job(hippocamp: Run, volume: Path, tmp_path: Path) -> None:
    job_id = hippocamp("submit", volume).stdout.strip()
    assert hippocamp("watch", job_id).stdout.splitlines()[-1] == f"{job_id}  succeeded"
    assert json.loads(hippocamp("result", job_id, "--json").stdout)["job_id"] == job_id
    assert hippocamp("overlay", job_id, "--slice", 16, "-o", "s.png").returncode == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert hippocamp("report", job_id, "--format", "json").stdout.strip() == f"{job_id}.json"
    assert job_id in hippocamp("jobs").stdout
    listed = hippocamp("jobs", "--json", "--state", "succeeded").stdout.splitlines()
    assert json.loads(listed[0])["id"] == job_id


def test_exit_statuses(hippocamp: Run, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "p.jpg").write_bytes(b"\xff\xd8\xff" * 100)
    (tmp_path / "r.nii").write_bytes(nifti(REFUSED_SEED))
    (tmp_path / "ok.nii").write_bytes(nifti(2))
    unknown = "job_" + "0" * 32
    assert hippocamp("submit", "p.jpg").returncode == 3
    assert hippocamp("submit", "r.nii", "--wait").returncode == 3
    assert hippocamp("submit", "p.jpg", "ok.nii").returncode == 9
    assert hippocamp("submit", "none.nii").returncode == 2
    assert hippocamp("submit").returncode == 2
    assert hippocamp("result", unknown).returncode == 5
    environment["HIPPOCAMP_URL"] = f"http://127.0.0.1:{free_port()}"
    down = hippocamp("--retries", 0, "result", unknown)
    assert down.returncode == 7
    assert down.stderr.startswith("hippocamp: no usable answer after 1 try")


def test_cancel_and_limits(hippocamp: Run, volume: Path, carrier: Carrier) -> None:
    carrier.pause.set()
    job_id = hippocamp("submit", volume).stdout.strip()
    assert hippocamp("result", job_id, "--timeout", 0.5).returncode == 8
    assert hippocamp("cancel", job_id).stdout.split() == [job_id, "canceled"]
    assert hippocamp("result", job_id).returncode == 4


def test_completion(hippocamp: Run) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_HIPPOCAMP_COMPLETE" in hippocamp("completion", shell).stdout


def test_webhook_listen(hippocamp: Run, environment: dict[str, str]) -> None:
    port = free_port()
    command = [HIPPOCAMP, "webhook", "listen", "--port", str(port), "--secret", SECRET, "--count", "1"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listener:
        assert listener.stderr is not None
        assert b"listening" in listener.stderr.readline()
        body, now = json.dumps({"type": "job.succeeded", "data": {"job_id": "job_1"}}), datetime.now(tz=UTC)
        headers = {
            "webhook-id": "whd_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign("whd_1", now, body),
        }
        url = f"http://127.0.0.1:{port}/"
        forged = httpx.post(url, content=body + " ", headers=headers, timeout=60, trust_env=False)
        taken = httpx.post(url, content=body, headers=headers, timeout=60, trust_env=False)
        assert (forged.status_code, taken.status_code) == (401, 200)
        out, _ = listener.communicate(timeout=120)
    assert json.loads(out)["data"]["job_id"] == "job_1"
    assert listener.returncode == 0


def test_endpoints_are_added_listed_and_removed(hippocamp: Run) -> None:
    made = json.loads(hippocamp("webhook", "add", "https://ris.example/hook").stdout)
    assert made["secret"].startswith("whsec_")
    (listed,) = map(json.loads, hippocamp("webhook", "list").stdout.splitlines())
    assert (listed["id"], "secret" in listed) == (made["id"], False)
    assert hippocamp("webhook", "deliveries").stdout == ""
    assert json.loads(hippocamp("webhook", "enable", made["id"]).stdout)["disabled"] is None
    assert hippocamp("webhook", "remove", made["id"]).returncode == 0
    assert hippocamp("webhook", "list").stdout == ""


def test_what_is_known_of_a_person_is_sent_and_answered(hippocamp: Run, volume: Path) -> None:
    told = ("--age", 71, "--sex", "F", "--education", 3, "--mmse", 27)
    sent = hippocamp("submit", volume, *told, "--json")
    assert json.loads(sent.stdout)["covariates"] == {"age": 71, "sex": "F", "education": 3, "mmse": 27}
    assert hippocamp("submit", volume, "--mmse", 31).returncode == 2
    assert hippocamp("submit", volume, volume, "--mmse", 27).returncode == 2


def test_the_models_card(hippocamp: Run, redis_client: redis.Redis) -> None:
    assert hippocamp("model", "card").returncode == 5
    digest, card = "c" * 64, read_card()
    deployed.describe(redis_client, digest, card.model_dump_json())
    deployed.publish(redis_client, "model", digest)
    assert hippocamp("model", "list").stdout == f"{digest}  in service\n"
    shown = hippocamp("model", "card").stdout
    assert "Not for diagnosis" in shown
    assert f"digest {digest}, in service" in shown
    data = json.loads(hippocamp("model", "card", digest, "--json").stdout)["card"]
    assert data["title"] == card.title
