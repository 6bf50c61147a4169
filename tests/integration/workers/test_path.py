"""A job through preprocess, infer and deliver, each taken one step at a time over a real Redis."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

import preprocessing_service.service as preprocess
from contracts.covariates import Covariates
from contracts.errors import StoreUnavailable
from contracts.explanation import Explanation
from contracts.result import Result
from contracts.stack import Stack
from contracts.states import JobState, Stage
from gateway.app import create_app
from gateway.http.schemas import Dependency
from gateway.monitoring.readiness import check
from gateway.settings import Settings as GatewaySettings
from jobstore import deployed, keys
from jobstore.result_cache import Known, cache_key
from jobstore.store import JobStore
from jobstore.webhook_endpoints import new_endpoint, save
from runtime.blobs import sheet_path
from tests.integration.workers.scene import PIPELINE, SHEET, fake_prepare, submit
from tests.support.receiver import Receiver
from tests.support.torchserve import DIGEST, OTHER, POISON, FakeTorchServe
from workers.context import WorkerContext
from workers.delivery import deliver
from workers.inference import infer, model_health
from workers.maintenance import maintain

pytestmark = pytest.mark.integration


def test_volume_in_result_and_webhook_out(
    place: WorkerContext, desk: preprocess.PreprocessingContext
) -> None:
    with Receiver() as receiver:
        endpoint = new_endpoint("a", receiver.url, now_ms=1)
        save(place.redis, endpoint)
        job_id = submit(place.job_store, place.blobs, "level 20", content="c1")
        preprocess.work_once(desk)
        infer.work_once(place)
        assert deliver.work_once(place) is not None
    job = place.job_store.get(job_id)
    assert job.state is JobState.SUCCEEDED
    result = Result.model_validate(job.result)
    assert (result.cdr, result.label, result.prediction_set) == ("0", "normal", ["0", "0.5", ">=1"])
    assert (result.pipeline_digest, result.model_digest) == (PIPELINE, DIGEST)
    assert result.seconds == {"strip": 0.01, "inference": 0.01}
    assert place.job_store.answers.find("a", "c1") == Known(
        cache_key("a", "c1", pipeline=PIPELINE, model=DIGEST), job.text("result"), PIPELINE, DIGEST
    )
    assert Explanation.from_bytes(place.blobs.get(job.text("explanation_blob"))).maps.shape == (32, 3, 7, 6)
    assert deployed.current(place.redis) == (PIPELINE, DIGEST)

    headers, body = receiver.received[0]
    event = Webhook(endpoint.secrets[0].key).verify(body, headers)
    assert event["type"] == "job.succeeded"
    assert event["data"] == {"job_id": job_id, "state": "succeeded"}
    delivery = place.job_store.record(headers["webhook-id"])
    assert (delivery["state"], delivery["response_status"]) == ("succeeded", "204")


@pytest.fixture
def by_name(place: WorkerContext, torchserve: FakeTorchServe) -> FakeTorchServe:
    """The model server reads stacks from the blob store by itself."""
    place.settings = replace(place.settings, model_reads_blobs=True)
    torchserve.folder = place.blobs.folder
    return torchserve


def test_stacks_are_named_and_only_the_guilty_one_fails(
    place: WorkerContext, desk: preprocess.PreprocessingContext, clocked: JobStore, by_name: FakeTorchServe
) -> None:
    jobs = [submit(clocked, place.blobs, f"level {n}") for n in (1, POISON, 3)]
    for _ in jobs:
        preprocess.work_once(desk)
    infer.work_once(place)
    states = [clocked.get(job).state for job in jobs]
    assert states == [JobState.SUCCEEDED, JobState.QUEUED_INFER, JobState.SUCCEEDED]
    assert by_name.named >= 3, "its halves are named too"


def test_a_server_that_cannot_read_is_sent_the_bytes(
    place: WorkerContext, desk: preprocess.PreprocessingContext, by_name: FakeTorchServe
) -> None:
    by_name.folder = None
    job = submit(place.job_store, place.blobs, "level 1")
    preprocess.work_once(desk)
    infer.work_once(place)
    assert place.job_store.get(job).state is JobState.SUCCEEDED
    assert (by_name.named, by_name.sizes) == (1, [1])


def test_a_named_stack_that_is_gone_is_made_again(
    place: WorkerContext, desk: preprocess.PreprocessingContext, by_name: FakeTorchServe
) -> None:
    gone, there = (submit(place.job_store, place.blobs, f"level {n}") for n in (1, 2))
    for _ in range(2):
        preprocess.work_once(desk)
    place.blobs.delete(place.job_store.get(gone).text("stack_blob"))
    infer.work_once(place)
    assert place.job_store.get(there).state is JobState.SUCCEEDED
    assert place.job_store.get(gone).state is JobState.QUEUED
    preprocess.work_once(desk)
    infer.work_once(place)
    assert place.job_store.get(gone).state is JobState.SUCCEEDED


def test_one_wake_up_serves_all_that_waits(
    place: WorkerContext, desk: preprocess.PreprocessingContext
) -> None:
    jobs = [submit(place.job_store, place.blobs, f"level {n}") for n in (1, 2)]
    preprocess.work(desk)
    assert {place.job_store.get(job).state for job in jobs} == {JobState.QUEUED_INFER}
    infer.work(place)
    assert {place.job_store.get(job).state for job in jobs} == {JobState.SUCCEEDED}


@pytest.mark.parametrize("by_name", [False, True])
def test_what_is_known_of_a_person_gives_a_second_answer(
    place: WorkerContext, desk: preprocess.PreprocessingContext, torchserve: FakeTorchServe, by_name: bool
) -> None:
    """In one request with a job of whom nothing is known, and found again only by the same question."""
    place.settings = replace(place.settings, model_reads_blobs=by_name)
    torchserve.folder = place.blobs.folder
    told = Covariates(age=71, mmse=15).to_text()
    jobs = [
        submit(place.job_store, place.blobs, "level 20", content="c1", covariates=told),
        submit(place.job_store, place.blobs, "level 20", content="c1"),
    ]
    for _ in jobs:
        preprocess.work_once(desk)
    infer.work_once(place)
    assert (torchserve.sizes, torchserve.named) == ([2], int(by_name))
    known, unknown = (Result.model_validate(place.job_store.get(job_id).result) for job_id in jobs)
    assert unknown.clinical is None
    assert known.clinical is not None
    assert (known.clinical.cdr, known.clinical.used) == ("0", ["age", "mmse"])
    assert known.clinical.probabilities.cdr0 == pytest.approx(0.5)
    assert known.probabilities == unknown.probabilities
    asked = (told, "", Covariates(age=72, mmse=15).to_text())
    first, second, third = (place.job_store.answers.find("a", "c1", covariates=one) for one in asked)
    assert first is not None
    assert second is not None
    assert (first.value, second.value) == (known.model_dump_json(), unknown.model_dump_json())
    assert third is None


def test_a_model_that_is_not_known_answers_nobody(
    place: WorkerContext, desk: preprocess.PreprocessingContext, clocked: JobStore, torchserve: FakeTorchServe
) -> None:
    """Jobs wait, using up no attempt, until a known model is back; the gateway can say which it is."""
    torchserve.digest = "f" * 64
    job_id = submit(clocked, place.blobs, "level 5")
    preprocess.work_once(desk)
    infer.work_once(place)
    job = clocked.get(job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED_INFER, 0)
    assert job.text("last_error") == "unavailable.model_unknown"
    assert not model_health.run_canary(place)
    assert deployed.refused(place.redis) == "f" * 64
    assert deployed.health(place.redis, "model_server") is None
    assert deployed.current(place.redis)[1] == ""
    torchserve.digest = DIGEST
    assert model_health.run_canary(place)
    clocked.now_ms += 6000
    infer.work_once(place)
    assert clocked.get(job_id).state is JobState.SUCCEEDED


def test_a_job_gets_the_model_that_it_names(
    place: WorkerContext, desk: preprocess.PreprocessingContext, clocked: JobStore, torchserve: FakeTorchServe
) -> None:
    """In one batch with others; the model in service stays what it was, each answer is cached by itself."""
    torchserve.others = (OTHER,)
    jobs = [
        submit(clocked, place.blobs, "level 9", content="c1", wanted_model=wanted) for wanted in ("", OTHER)
    ]
    for _ in jobs:
        preprocess.work_once(desk)
    infer.work_once(place)
    found = [clocked.get(job_id) for job_id in jobs]
    assert [job.text("model_digest") for job in found] == [DIGEST, OTHER]
    assert deployed.current(place.redis)[1] == DIGEST
    assert len({job.text("explanation_blob") for job in found}) == 2
    kept = [clocked.answers.find("a", "c1", model=model) for model in ("", OTHER)]
    assert [one.model for one in kept if one] == [DIGEST, OTHER]


def test_a_model_beside_the_one_in_service_is_found_while_that_is_busy(
    place: WorkerContext, torchserve: FakeTorchServe
) -> None:
    torchserve.others = (OTHER,)
    place.report_model(DIGEST)
    assert maintain.request_canary(place)
    assert model_health.run_canary(place)
    assert deployed.described(place.redis) == [DIGEST, OTHER]
    assert deployed.current(place.redis)[1] == DIGEST
    place.redis.delete(keys.canary("asked"))
    assert not maintain.request_canary(place), "each is looked for once a minute"


def test_a_model_that_nobody_serves_fails_who_named_it_alone(
    place: WorkerContext, desk: preprocess.PreprocessingContext, clocked: JobStore
) -> None:
    named, plain = (submit(clocked, place.blobs, "level 9", wanted_model=wanted) for wanted in (OTHER, ""))
    for _ in range(2):
        preprocess.work_once(desk)
    for _ in range(4):
        infer.work_once(place)
        clocked.now_ms += 10_000
    assert clocked.get(plain).state is JobState.SUCCEEDED
    job = clocked.get(named)
    assert (job.state, job.text("error_code")) == (JobState.FAILED, "model.not_served")
    assert place.model.all[0].breaker.failures == 0


def test_wakeups_follow_the_job(place: WorkerContext, desk: preprocess.PreprocessingContext) -> None:
    save(place.redis, new_endpoint("a", "http://127.0.0.1:9/", now_ms=1))
    submit(place.job_store, place.blobs, "level 20")
    preprocess.work_once(desk)
    assert place.redis.llen("infer") == 1
    infer.work_once(place)
    assert place.redis.llen("deliver") == 1


def test_a_batch_is_one_request_and_one_bad_job_fails_alone(
    place: WorkerContext, desk: preprocess.PreprocessingContext, clocked: JobStore, torchserve: FakeTorchServe
) -> None:
    good = [submit(clocked, place.blobs, f"level {n}") for n in (1, 2, 3)]
    bad = submit(clocked, place.blobs, f"level {POISON}")
    for _ in range(4):
        preprocess.work_once(desk)
    assert len(infer.work_once(place)) == 4
    assert torchserve.sizes[0] == 4
    assert [clocked.get(j).state for j in good] == [JobState.SUCCEEDED] * 3
    for _ in range(2):
        assert clocked.get(bad).state is JobState.QUEUED_INFER
        clocked.now_ms += 10_000
        infer.work_once(place)
    job = clocked.get(bad)
    assert (job.state, job.text("error_code")) == (JobState.FAILED, "model.refused")


def test_who_dies_with_a_batch_takes_nobody_along_thrice(
    place: WorkerContext, desk: preprocess.PreprocessingContext, clocked: JobStore, torchserve: FakeTorchServe
) -> None:
    """An infer process dies of one job of its batch: from then on each of them is scored alone."""
    jobs = [submit(clocked, place.blobs, f"level {n}") for n in (1, 2, 3)]
    for _ in jobs:
        preprocess.work_once(desk)
    for claim in clocked.claim(Stage.INFER, "dead", limit=4):
        clocked.release(claim, "worker died")
    assert [len(infer.work_once(place)) for _ in range(4)] == [1, 1, 1, 0]
    assert torchserve.sizes == [1, 1, 1]
    assert {clocked.get(job_id).state for job_id in jobs} == {JobState.SUCCEEDED}


@pytest.mark.parametrize("mode", ["500", "503", "hang"])
def test_a_sick_model_server_uses_up_no_attempt_and_opens_the_breaker(
    place: WorkerContext,
    desk: preprocess.PreprocessingContext,
    clocked: JobStore,
    torchserve: FakeTorchServe,
    mode: str,
) -> None:
    job_id = submit(clocked, place.blobs, "level 5")
    preprocess.work_once(desk)
    torchserve.mode = mode
    for _ in range(5):
        infer.work_once(place)
        clocked.now_ms += 6000
    assert place.model.all[0].breaker.failures == 3
    assert clocked.get(job_id).state is JobState.QUEUED_INFER
    torchserve.mode = "ok"
    assert model_health.run_canary(place)
    infer.work_once(place)
    job = clocked.get(job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)


def test_a_refused_volume_fails_at_once_with_its_figure(
    place: WorkerContext, desk: preprocess.PreprocessingContext
) -> None:
    job_id = submit(place.job_store, place.blobs, "not a head", content="c9")
    preprocess.work_once(desk)
    job = place.job_store.get(job_id)
    assert (job.state, job.text("error_code")) == (JobState.FAILED, "quality.not_a_head")
    assert json.loads(job.text("error_figures")) == {"volume_ml": 3}
    maintain.delete_pending(place)
    assert not place.blobs.exists(job.text("input_blob"))
    sheet = sheet_path("a", job.artifact_prefix, PIPELINE)
    assert place.blobs.get(sheet) == SHEET
    place.job_store.erase(job)
    maintain.delete_pending(place)
    assert not place.blobs.exists(sheet)


def test_a_volume_unlike_the_training_data_fails_with_the_measure_and_the_limit(
    place: WorkerContext, desk: preprocess.PreprocessingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "settings", replace(place.settings, most_distance=0.2))
    job_id = submit(place.job_store, place.blobs, "level 20", content="c99")
    preprocess.work_once(desk)
    infer.work_once(place)
    job = place.job_store.get(job_id)
    assert (job.state, job.text("error_code")) == (JobState.FAILED, "quality.out_of_distribution")
    figures = json.loads(job.text("error_figures"))
    assert figures == {"out_of_distribution": 0.3, "most_out_of_distribution": 0.2}
    assert not job.text("result")


def test_a_bug_costs_three_attempts_then_it_is_dead_lettered(
    place: WorkerContext, desk: preprocess.PreprocessingContext, clocked: JobStore
) -> None:
    job_id = submit(clocked, place.blobs, "broken")
    for attempt in (1, 2, 3):
        claim = preprocess.work_once(desk)
        assert claim is not None
        assert claim.attempt == attempt
        assert preprocess.work_once(desk) is None
        clocked.now_ms += 5000
    job = clocked.get(job_id)
    assert (job.state, job.text("error_code")) == (JobState.FAILED, "job.dead_lettered")
    assert "ZeroDivisionError" in job.text("error_detail")


def test_a_store_that_is_away_fails_nobody(
    place: WorkerContext,
    desk: preprocess.PreprocessingContext,
    clocked: JobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = submit(clocked, place.blobs, "level 5")

    def full(*_: object, **__: object) -> None:
        raise StoreUnavailable("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(desk.blobs, "put", full)
        for _ in range(6):
            preprocess.work_once(desk)
            clocked.now_ms += 6000
    assert clocked.get(job_id).state is JobState.QUEUED
    preprocess.work_once(desk)
    assert clocked.get(job_id).state is JobState.QUEUED_INFER


def test_the_same_bytes_are_prepared_once(
    place: WorkerContext, desk: preprocess.PreprocessingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(place.job_store, place.blobs, "level 9", content="same")
    preprocess.work_once(desk)
    monkeypatch.setattr(desk, "prepare", lambda *_, **__: pytest.fail("prepared again"))
    second = submit(place.job_store, place.blobs, "level 9", content="same")
    preprocess.work_once(desk)
    job = place.job_store.get(second)
    assert (job.state, job.text("quality")) == (JobState.QUEUED_INFER, '{"volume_ml": 1400.0}')


def test_a_damaged_stored_stack_is_made_anew(
    place: WorkerContext, desk: preprocess.PreprocessingContext
) -> None:
    first = submit(place.job_store, place.blobs, "level 9", content="same")
    preprocess.work_once(desk)
    path = place.job_store.get(first).text("stack_blob")
    place.blobs.put(path, place.blobs.get(path)[:-100])
    submit(place.job_store, place.blobs, "level 9", content="same")
    preprocess.work_once(desk)
    assert len(infer.work_once(place)) == 2
    assert place.job_store.get(first).state is JobState.SUCCEEDED


def test_a_canceled_job_stops_at_its_next_step_and_leaves_nothing(
    place: WorkerContext, desk: preprocess.PreprocessingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(place.job_store, place.blobs, "level 9\nbroken")

    def canceled_meanwhile(path: Path, **more: Any) -> Stack:
        place.job_store.cancel(job_id)
        return fake_prepare(path, **more)

    monkeypatch.setattr(desk, "prepare", canceled_meanwhile)
    preprocess.work_once(desk)
    assert place.job_store.get(job_id).state is JobState.CANCELED
    assert not place.blobs.exists(f"stacks/a/{job_id[4:]}/{PIPELINE}.npz")
    assert "last_error" not in place.job_store.record(job_id)


def test_top_up_sends_what_is_missing_and_no_more(place: WorkerContext, clocked: JobStore) -> None:
    for _ in range(5):
        submit(clocked, place.blobs, "level 1")
    assert maintain.top_up(place, Stage.PREPROCESS) == 5
    assert maintain.top_up(place, Stage.PREPROCESS) == 0
    (claim,) = clocked.claim(Stage.PREPROCESS, "w")
    clocked.release(claim, "later", delay_seconds=60)
    place.redis.delete("preprocess")
    assert maintain.top_up(place, Stage.PREPROCESS) == 4
    clocked.now_ms += 60_000
    assert maintain.top_up(place, Stage.PREPROCESS) == 1


def test_a_pending_deletion_stays_listed_until_it_is_gone(
    place: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.blobs.put("inputs/a/1", b"x")
    place.redis.rpush(keys.PENDING_DELETIONS, "inputs/a/1", "inputs/a/2")

    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(place.blobs, "delete", away)
        assert maintain.delete_pending(place) == 0
    assert place.redis.llen(keys.PENDING_DELETIONS) == 2
    assert maintain.delete_pending(place) == 2
    assert not place.blobs.exists("inputs/a/1")


def test_a_canary_is_requested_only_when_the_heartbeat_is_old(place: WorkerContext) -> None:
    assert maintain.request_canary(place)
    assert not maintain.request_canary(place)
    place.redis.delete(keys.canary("asked"))
    assert model_health.run_canary(place)
    assert not maintain.request_canary(place)
    assert deployed.current(place.redis)[1] == DIGEST


def readiness(place: WorkerContext, tmp_path: Path) -> Dependency:
    about = GatewaySettings(redis_url=place.settings.redis_url, blobs=str(tmp_path))
    return check(create_app(about).extensions["hippocamp"], ["model_server"])["model_server"]


@pytest.mark.parametrize("fault", ["503", "507"], ids=["no worker", "a worker that died"])
def test_readiness_follows_a_model_server_without_workers_within_one_round(
    place: WorkerContext, torchserve: FakeTorchServe, tmp_path: Path, fault: str
) -> None:
    assert model_health.run_canary(place)
    assert model_health.check_liveness(place)
    assert readiness(place, tmp_path).ok
    torchserve.mode = fault
    assert not model_health.check_liveness(place)
    found = readiness(place, tmp_path)
    assert not found.ok
    assert found.detail == f"failed its last test: HTTP {fault}"
    torchserve.mode = "ok"
    asked = len(torchserve.sizes)
    assert model_health.check_liveness(place)
    assert len(torchserve.sizes) == asked + 1, "one that is back does a whole inference before it counts"
    assert readiness(place, tmp_path).ok


def test_a_liveness_check_is_requested_each_round_while_nothing_else_shows_that_the_server_lives(
    place: WorkerContext,
) -> None:
    assert maintain.request_liveness_check(place)
    assert not maintain.request_liveness_check(place)
    place.redis.delete(keys.canary("liveness"))
    deployed.record_heartbeat(place.redis, "model_server")
    assert not maintain.request_liveness_check(place)


def test_a_stack_that_vanished_is_made_again(
    place: WorkerContext, desk: preprocess.PreprocessingContext
) -> None:
    job_id = submit(place.job_store, place.blobs, "level 20", content="c1")
    preprocess.work_once(desk)
    place.blobs.delete(place.job_store.get(job_id).text("stack_blob"))
    infer.work_once(place)
    assert place.job_store.get(job_id).state is JobState.QUEUED
    preprocess.work_once(desk)
    infer.work_once(place)
    assert place.job_store.get(job_id).state is JobState.SUCCEEDED


def test_one_blob_that_stays_holds_up_no_other(place: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    place.blobs.put("stacks/a/stays", b"x")
    place.blobs.put("stacks/a/goes", b"x")
    place.redis.rpush(keys.PENDING_DELETIONS, "stacks/a/stays", "stacks/a/goes")
    delete = place.blobs.delete

    def refuse(path: str) -> None:
        if path.endswith("stays"):
            raise StoreUnavailable("read-only")
        delete(path)

    monkeypatch.setattr(place.blobs, "delete", refuse)
    assert maintain.delete_pending(place) == 1
    assert place.redis.lrange(keys.PENDING_DELETIONS, 0, -1) == ["stacks/a/stays"]
    assert not place.blobs.exists("stacks/a/goes")
