"""What comes after a study was scored makes a new job that takes the old one's place."""

from __future__ import annotations

import pytest
import redis

from contracts.states import Stage
from jobstore import keys, webhook_endpoints
from jobstore.store import JobStore
from preprocessing_service.steps.read import read
from tests.integration.gateway.conftest import result
from tests.integration.gateway.live import Running
from tests.integration.inbox.sending import T2, Sender, volume

pytestmark = pytest.mark.integration


def score(client: redis.Redis, job_id: str) -> None:
    """As the workers do."""
    job_store = JobStore(client)
    (claim,) = job_store.claim(Stage.PREPROCESS, "worker")
    assert claim.id == job_id
    job_store.advance(claim, Stage.INFER)
    (claim,) = job_store.claim(Stage.INFER, "worker")
    job_store.succeed(claim, {"result": result().model_dump_json()})


def events(client: redis.Redis, job_id: str) -> set[str]:
    deliveries = client.smembers(keys.deliveries_of_job(job_id))
    return {str(client.hget(keys.record(one), "event")) for one in deliveries}


def test_a_late_last_slice_makes_a_new_job_over_the_whole_series(
    sender: Sender, redis_client: redis.Redis, gateway: Running
) -> None:
    webhook_endpoints.save(
        redis_client, webhook_endpoints.new_endpoint("here", "https://receiver.example/hook", now_ms=1)
    )
    whole = volume(count=21)
    sender.stow(whole[:20])
    first = sender.job()
    score(redis_client, first["id"])
    sender.stow(whole[20:])
    second = sender.job(count=2)
    assert (second["supersedes"], second["superseded_by"], second["state"]) == (first["id"], None, "queued")
    job_store = JobStore(redis_client)
    stored = gateway.blobs / job_store.get(second["id"]).text("input_blob")
    assert read(stored).shape == (21, 16, 12)

    old = sender.http.get(f"/v1/jobs/{first['id']}").json()
    assert (old["state"], old["superseded_by"]) == ("succeeded", second["id"])
    read_again = sender.http.get(f"/v1/jobs/{first['id']}/result").json()
    assert read_again["superseded_by"] == second["id"]
    assert read_again["notices"][0]["code"] == "result.superseded"
    assert events(redis_client, first["id"]) == {"job.succeeded", "job.superseded"}


def test_a_job_that_still_waits_when_more_comes_ends(sender: Sender) -> None:
    whole = volume(count=21)
    sender.stow(whole[:20])
    first = sender.job()
    sender.stow(whole[20:])
    sender.job(count=2)
    assert [one["state"] for one in sender.jobs()] == ["canceled", "queued"]
    assert sender.jobs()[0]["id"] == first["id"]


def test_another_series_that_is_not_read_changes_nothing(sender: Sender) -> None:
    sender.stow(volume())
    first = sender.job()
    flair = volume(T2, SeriesDescription="flair", EchoTime=90)
    worse = volume(f"{T2}2", SeriesDescription="t1_mprage mpr")
    sender.stow(flair + worse)
    assert sender.job()["id"] == first["id"]


def test_a_better_series_takes_the_place_of_the_first(sender: Sender) -> None:
    sender.stow(volume(SeriesDescription="t1 se", ScanningSequence="SE", RepetitionTime=500, EchoTime=12))
    first = sender.job()
    sender.stow(volume(T2))
    assert sender.job(count=2)["supersedes"] == first["id"]


def test_an_erased_job_takes_what_was_collected_along(sender: Sender, redis_client: redis.Redis) -> None:
    sender.stow(volume())
    job = sender.job()
    assert sender.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert sender.collected() == []
    assert redis_client.hget(keys.inbox("held", "here"), "bytes") == "0"
    sender.stow(volume())
    again = sender.job()
    assert again["id"] != job["id"]
