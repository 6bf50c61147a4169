"""However a sender cuts a study into requests, one job comes of it: the real gateway, a site with its key."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis

from jobstore import keys
from jobstore.store import JobStore
from preprocessing_service.steps.read import read
from runtime.blobs import BlobStore
from tests.integration.gateway.live import Running
from tests.integration.inbox.sending import STUDY, T1, T2, Sender, images, reasons, volume

pytestmark = pytest.mark.integration


def scan_of(job: dict[str, object], client: redis.Redis, gateway: Running) -> Path:
    return gateway.blobs / JobStore(client).get(str(job["id"])).text("input_blob")


@pytest.mark.parametrize("each", [10, 1])
def test_a_series_in_small_requests_is_one_job(
    sender: Sender, redis_client: redis.Redis, gateway: Running, each: int
) -> None:
    answers = sender.stow(volume(), each=each)
    assert {one["status"] for one in answers} == {200}
    assert sum(map(images, answers)) == 20
    job = sender.job()
    assert (job["state"], job["supersedes"], job["superseded_by"]) == ("queued", None, None)
    assert read(scan_of(job, redis_client, gateway)).shape == (20, 16, 12)


def test_a_long_series_in_requests_of_fifty(
    sender: Sender, redis_client: redis.Redis, gateway: Running
) -> None:
    sender.stow(volume(count=176), each=50)
    assert read(scan_of(sender.job(), redis_client, gateway)).shape == (176, 16, 12)


@pytest.mark.parametrize("about", [{}, {"SpacingBetweenSlices": 1.0, "InstanceNumber": None}])
def test_halves_out_of_order_are_one_job(
    sender: Sender, redis_client: redis.Redis, gateway: Running, about: dict[str, object]
) -> None:
    """Each half is long and even enough to be a volume of its own."""
    whole = volume(count=40, **about)
    sender.stow(whole[1::2][::-1])
    waiting = sender.waits_for("they lie 2.00 mm apart, and the series says 1.00 mm")
    assert (waiting["instances"], waiting["series"][0]["instances"]) == (20, 20)
    sender.stow(whole[::2])
    assert read(scan_of(sender.job(), redis_client, gateway)).shape == (40, 16, 12)


def test_the_second_half_first_is_waited_for(sender: Sender) -> None:
    whole = volume(count=40)
    sender.stow(whole[20:])
    sender.waits_for("20 of its numbers are absent")
    sender.stow(whole[:20])
    sender.job()


def test_announced_images_are_waited_for(sender: Sender) -> None:
    whole = volume(NumberOfSeriesRelatedInstances=20)
    sender.stow(whole[:17])
    sender.waits_for("20 images are announced")
    sender.stow(whole[17:])
    sender.job()


def test_duplicates_change_nothing(sender: Sender, redis_client: redis.Redis, blobs: BlobStore) -> None:
    whole, before = volume(), blobs.list_all("inbox/here")
    for _ in range(2):
        assert sender.stow(whole, each=10)[0]["status"] == 200
    first = sender.job()
    answers = sender.stow(whole[::-1], each=10)
    assert [images(one) for one in answers] == [10, 10]
    time.sleep(1.5)
    assert [one["id"] for one in sender.jobs()] == [first["id"]]
    assert int(redis_client.hget(keys.inbox("held", "here"), "instances") or 0) == 20
    assert len(blobs.list_all("inbox/here")) - len(before) == 2


def test_two_series_interleaved_are_one_job_that_lists_the_other(
    sender: Sender, redis_client: redis.Redis, gateway: Running
) -> None:
    flair = volume(T2, SeriesDescription="t2_flair", EchoTime=90, SeriesNumber=7)
    mixed = [one for pair in zip(volume(SeriesNumber=3), flair, strict=True) for one in pair]
    answers = sender.stow(mixed, each=10)
    assert {one["status"] for one in answers} == {202}
    assert reasons(answers[0]) == {(0x0122, "ignored: another contrast than plain T1 (named 't2')")}
    found = read(scan_of(sender.job(), redis_client, gateway)).series
    assert found is not None
    assert [(one.number, one.code, one.images) for one in found.passed_over] == [(7, "other_contrast", 20)]


def test_the_answer_says_where_the_jobs_are(sender: Sender) -> None:
    (answer,) = sender.stow(volume())
    (where,) = {one["00081190"]["Value"][0] for one in answer["00081199"]["Value"]}
    assert where == answer["00081190"]["Value"][0]
    assert where.endswith(f"/dicom-web/studies/{STUDY}/jobs")
    sender.job()
    assert len(sender.http.get(where).json()["jobs"]) == 1


def test_a_closed_study_does_not_wait(sender: Sender) -> None:
    sender.stow(volume()[:8])
    assert sender.close().status_code == 202
    job = sender.job()
    assert (job["state"], job["error"]["code"]) == ("failed", "input.incomplete_series")
    assert "8 images came" in job["error"]["detail"]
    assert sender.close("9.9.9").json()["code"] == "study.not_found"


def test_a_dropped_study_leaves_nothing(sender: Sender, redis_client: redis.Redis) -> None:
    sender.stow(volume()[:8])
    assert sender.http.delete(f"/dicom-web/studies/{STUDY}").status_code == 204
    assert sender.collected() == []
    assert [key for key in redis_client.keys(keys.inbox("*")) if not key.startswith(keys.inbox("held"))] == []
    assert redis_client.hgetall(keys.inbox("held", "here")) == {"bytes": "0", "instances": "0"}
    assert len(redis_client.lrange(keys.PENDING_DELETIONS, 0, -1)) == 1


def test_two_people_under_one_study_get_no_answer(sender: Sender) -> None:
    whole = volume()
    sender.stow(whole[:10])
    for one in whole[10:]:
        one.PatientID = "CANARY-8"
    (answer,) = sender.stow(whole[10:])
    assert answer["status"] == 409
    ((reason, text),) = reasons(answer)
    assert (reason, "several patients" in text) == (0xA900, True)
    assert sender.job()["error"]["code"] == "input.several_studies"


@pytest.mark.privacy
def test_no_name_is_kept(sender: Sender, redis_client: redis.Redis, blobs: BlobStore) -> None:
    sender.stow(volume()[:12])
    kept = [blobs.get(path) for path in blobs.list_all("inbox")]
    for key in redis_client.keys(keys.inbox("*")):
        kept.append(redis_client.dump(key) or b"")
        kind = redis_client.type(key)
        if kind == "hash":
            kept.append(str(redis_client.hgetall(key)).encode())
    assert len(kept) > 5
    for data in kept:
        for word in (b"Canary", b"CANARY", b"canary", b"19400101"):
            assert word not in data


@pytest.mark.isolation
def test_another_site_sees_nothing_of_it(sender: Sender, gateway: Running, redis_client: redis.Redis) -> None:
    from tests.support.hospital import configure

    sender.stow(volume()[:8])
    with configure(redis_client, "elsewhere").http(gateway.url) as http:
        assert http.get("/v1/inbox").json() == {"studies": []}
        assert http.get(f"/dicom-web/studies/{STUDY}/jobs").status_code == 404
        assert http.post(f"/dicom-web/studies/{STUDY}/close").status_code == 404
        assert Sender(http).stow(volume())[0]["status"] == 200
    assert sender.collected()[0]["series"][0]["instances"] == 8
    assert T1 not in str(sender.collected())
