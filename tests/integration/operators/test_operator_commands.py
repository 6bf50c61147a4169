"""The operator's commands against the real Redis, line and exporter, as a shell runs them."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
import redis

from contracts.errors import DeadLettered
from contracts.job import Claim, Submission, new_job_id
from contracts.states import JobState, Stage
from gateway.settings import Settings
from jobstore import draining, heartbeats, keys
from jobstore.store import JobStore, LeaseLost
from tests.integration.client.conftest import Carrier, Run
from tests.integration.client.tls import served_over_tls
from tests.integration.workers.scene import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def job_store(
    redis_client: redis.Redis, environment: dict[str, str], settings: Settings, carrier: Carrier
) -> JobStore:
    """The line that the commands are pointed at; nobody works on it."""
    carrier.pause.set()
    environment["HIPPOCAMP_REDIS_URL"] = settings.redis_url
    return JobStore(redis_client)


def submit(job_store: JobStore, site: str = "far") -> str:
    job_id = new_job_id()
    job_store.submit(
        Submission(
            id=job_id, site=site, content_digest=job_id, input_blob=f"inputs/{job_id}", size_bytes=2_000_000,
            stored_bytes=2_000_000,
            media="nifti",
        )
    )  # fmt: skip
    return job_id


def claim(job_store: JobStore, worker: str = "host1/5/7") -> Claim:
    (found,) = job_store.claim(Stage.PREPROCESS, worker)
    return found


def poisoned(job_store: JobStore, site: str = "far") -> str:
    """Of a site that asked for the quarantine."""
    job_store.redis.hset(keys.site(site), "quarantine_seconds", 3 * 86_400)
    job_id = submit(job_store, site)
    job_store.fail(
        claim(job_store), DeadLettered("The last of 3 attempts at preprocess ended in ZeroDivisionError")
    )
    return job_id


def said(run: Run, *words: object) -> str:
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_workers_shows_pools_and_what_they_hold(job_store: JobStore, admin: Run) -> None:
    heartbeats.tell(
        job_store.redis, lambda now: heartbeats.Pool("host1/5/6", ("preprocess",), 2, now - 60_000, now)
    )
    silent = heartbeats.Pool("host2/5/6", ("infer",), 4, 0, int(time.time() * 1000) - 600_000)
    job_store.redis.hset(keys.WORKERS, silent.name, json.dumps(vars(silent)))
    job_id = submit(job_store)
    claim(job_store)
    shown = said(admin, "workers")
    (works,) = [row for row in shown.splitlines() if row.split()[:2] == ["host1", "6"]]
    assert works.split()[:6] == ["host1", "6", "preprocess", "works", "1", "2"]
    assert "SILENT" in next(row for row in shown.splitlines() if "host2" in row)
    assert job_id in shown
    rows = [json.loads(text) for text in said(admin, "workers", "--json").splitlines()]
    assert [row["record"]["worker"] for row in rows if "record" in row] == ["host1/5/7"]


def test_drain_waits_for_what_is_held_and_undo_lets_it_go_on(job_store: JobStore, admin: Run) -> None:
    submit(job_store)
    submit(job_store)
    held = claim(job_store)

    def finish_once_drained() -> None:
        eventually(lambda: draining.drained(job_store.redis))
        job_store.fail(held, DeadLettered("done"))

    finishing = threading.Thread(target=finish_once_drained)
    finishing.start()
    shown = said(admin, "drain", "preprocess", "--grace", "120")
    finishing.join()
    assert shown.splitlines()[0] == "stage:preprocess claims nothing more"
    assert shown.splitlines()[-1] == "nothing is held any more", "it was finished, not handed back"
    assert job_store.claim(Stage.PREPROCESS, "host9/1/1") == []
    assert "stage:preprocess has been drained for" in said(admin, "drain")
    assert said(admin, "drain", "--undo", "preprocess") == "stage:preprocess works again\n"
    assert job_store.claim(Stage.PREPROCESS, "host9/1/1") != []
    assert said(admin, "drain") == "nothing is drained\n"


def test_drain_hands_back_what_is_not_finished_in_time(job_store: JobStore, admin: Run) -> None:
    submit(job_store)
    held = claim(job_store, "host1/5/7")
    assert "1 records handed back" in said(admin, "drain", "host:host1", "--grace", "0")
    with pytest.raises(LeaseLost):
        job_store.advance(held, Stage.INFER)
    assert claim(job_store, "host2/5/7").attempt == 1
    assert list(draining.drained(job_store.redis)) == ["host:host1"]


def test_drain_of_a_stage_that_is_none_is_a_wrong_use(job_store: JobStore, admin: Run) -> None:
    done = admin("drain", "preprocessing")
    assert done.returncode == 2
    assert "preprocess, infer, deliver" in done.stderr


def test_quarantine_lists_releases_and_drops(job_store: JobStore, admin: Run) -> None:
    first, second, third = poisoned(job_store), poisoned(job_store, "near"), poisoned(job_store)
    shown = said(admin, "quarantine", "list")
    assert all(job_id in shown for job_id in (first, second, third))
    assert "ZeroDivisionError" in shown
    assert said(admin, "quarantine", "release", first) == f"{first}  waits for preprocess\n"
    assert job_store.get(first).state is JobState.QUEUED
    assert admin("quarantine", "release", first).returncode == 5, "it is not there any more"
    assert said(admin, "quarantine", "release", "--all", "--site", "near").startswith(second)
    assert "being deleted" in said(admin, "quarantine", "drop", third)
    job_store.reap()
    assert f"inputs/{third}" in job_store.redis.lrange(keys.PENDING_DELETIONS, 0, -1)
    assert said(admin, "quarantine", "list") == "the quarantine is empty\n"
    assert admin("quarantine", "release").returncode == 2


def test_retry_opens_a_job_or_says_why_not(job_store: JobStore, admin: Run) -> None:
    job_id = poisoned(job_store)
    assert said(admin, "retry", job_id) == f"{job_id}  waits for preprocess\n"
    again = admin("retry", job_id)
    assert again.returncode == 1
    assert "The job is queued" in again.stderr
    assert admin("retry", "job_none").returncode == 5
    assert admin("retry", "whd_none").returncode == 5


def test_retry_sends_a_delivery_again(job_store: JobStore, admin: Run) -> None:
    job_store.redis.hset(keys.endpoints("far"), "whe_x", "{}")
    job_id = poisoned(job_store)
    (owed,) = job_store.claim(Stage.DELIVER, "w")
    job_store.succeed(owed, {"response_status": 200})
    assert said(admin, "retry", f"whd_{job_id[4:]}_x").endswith("will be sent again\n")
    assert len(job_store.claim(Stage.DELIVER, "w")) == 1


def test_jobs_of_all_sites_newest_first(job_store: JobStore, admin: Run) -> None:
    ids = [submit(job_store, site) for site in ("far", "near", "far")]
    job_store.fail(claim(job_store), DeadLettered("?"))
    shown = said(admin, "jobs", "--json")
    rows = [json.loads(text) for text in shown.splitlines()]
    assert {row["id"] for row in rows} == set(ids)
    assert [int(row["created_ms"]) for row in rows] == sorted(
        (int(r["created_ms"]) for r in rows), reverse=True
    )
    failed = said(admin, "jobs", "--state", "failed", "--json").splitlines()
    assert [json.loads(text)["error_code"] for text in failed] == ["job.dead_lettered"]
    assert len(said(admin, "jobs", "--site", "near", "--json").splitlines()) == 1


def test_a_redis_that_is_away_is_a_sentence_without_its_password(job_store: JobStore, admin: Run) -> None:
    for words in (
        ("workers",),
        ("drain",),
        ("quarantine", "list"),
        ("retry", "job_1"),
        ("jobs",),
    ):
        done = admin(*words, "--redis", "redis://:secret@127.0.0.1:1/0")
        assert done.returncode == 7, words
        assert done.stderr.startswith("hippocamp-admin: Redis at 127.0.0.1:1: ConnectionError")
        assert "secret" not in done.stdout + done.stderr


def test_doctor_asks_redis_workers_and_settings(
    job_store: JobStore, admin: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {
        "HIPPOCAMP_INFER_BATCH": "zero", "HIPPOCAMP_REDISURL": "x", "HIPPOCAMP_MODEL_SERVER": "http://127.0.0.1:1",
        "HIPPOCAMP_BLOBS": str(tmp_path / "none"), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "HIPPOCAMP_CACHE_REDIS_URL": "redis://:secret@127.0.0.1:1/0", "HIPPOCAMP_PROMETHEUS_URL": "http://127.0.0.1:1",
        "HIPPOCAMP_EXPORTER_URL": "http://127.0.0.1:1/metrics",
    }  # fmt: skip
    heartbeats.tell(job_store.redis, lambda now: heartbeats.Pool("host1/5/6", ("preprocess",), 2, now, now))
    poisoned(job_store)
    draining.drain(job_store.redis, "host:host1", now_ms=0)
    seen = admin("doctor", "--json")
    assert seen.returncode == 10, seen.stderr
    rows = [json.loads(text) for text in seen.stdout.splitlines()]
    found = {(row["check"], row["verdict"]): row for row in rows}
    assert "HIPPOCAMP_INFER_BATCH='zero' is not a number" in found["settings", "BAD"]["found"]
    assert found["setting", "look"]["advice"] == "Did you mean HIPPOCAMP_REDIS_URL?"
    assert found["preprocess pools", "ok"]["found"] == "1 with 2 slots"
    assert "maintain and beat" in found["reconciler", "BAD"]["advice"]
    assert found["drained", "look"]["advice"] == "hippocamp-admin drain --undo host:host1"
    assert "quarantine release" in found["quarantine", "look"]["advice"]
    assert "appendonly yes" in found["redis log", "BAD"]["advice"]
    assert "Start TorchServe" in found["model server", "BAD"]["advice"]
    assert "HIPPOCAMP_BLOBS" in found["blob folder", "BAD"]["advice"]
    for queue in ("infer", "deliver", "maintain"):
        assert (
            found[f"{queue} pools", "BAD"]["advice"]
            == f"Start workers of the queue {queue} and read their log"
        )
    assert "HIPPOCAMP_CACHE_REDIS_URL" in found["cache", "look"]["advice"]
    assert "nobody watches" in found["prometheus", "BAD"]["advice"]
    assert "alerts about the job store are blind" in found["exporter", "BAD"]["advice"]
    assert "secret" not in seen.stdout
    assert ("traces", "look") in found
    assert all(row["advice"] for row in rows if row["verdict"] in {"BAD", "look"})


def test_doctor_finds_the_master_by_its_sentinels_or_says_that_none_answers(
    job_store: JobStore, admin: Run
) -> None:
    address = "sentinel://:secret@127.0.0.1:1,127.0.0.1:2/hippocamp/0"
    rows = [json.loads(text) for text in admin("doctor", "--json", "--redis", address).stdout.splitlines()]
    (found,) = [row for row in rows if row["check"] == "redis"]
    assert found["verdict"] == "BAD"
    assert "127.0.0.1:1,127.0.0.1:2" in found["found"]
    assert "secret" not in found["found"]


def test_doctor_says_that_a_certificate_is_over_or_nearly(
    admin: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    for days, verdict, shown in ((-1, "BAD", "expired"), (5, "look", "days left"), (90, "ok", "days left")):
        with served_over_tls(tmp_path / str(days), days=days) as (port, authority):
            environment["SSL_CERT_FILE"] = str(authority)
            environment["HIPPOCAMP_URL"] = f"https://127.0.0.1:{port}"
            rows = [json.loads(text) for text in admin("doctor", "--json").stdout.splitlines()]
        found = {row["check"]: row for row in rows}
        assert found["service certificate"]["verdict"] == verdict
        assert shown in found["service certificate"]["found"]
        assert ("Renew" in found["service certificate"]["advice"]) == (verdict != "ok")
        if days < 0:
            assert "Renew the certificate" in found["service"]["advice"]
