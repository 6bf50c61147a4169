"""`hippocamp-admin rescore`: another model scores what was prepared, once, whatever is interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import preprocessing_service.service as preprocess
from contracts.covariates import Covariates
from contracts.result import Result
from contracts.states import JobState
from jobstore import deployed, keys
from jobstore.operator_audit import take_over
from jobstore.rescoring import Rescored, Rescoring, jobs_to_rescore
from jobstore.webhook_endpoints import new_endpoint, save
from operators.command import main
from runtime.audit import AuditLog, read
from tests.integration.workers.scene import submit
from tests.support.receiver import Receiver
from tests.support.torchserve import DIGEST, OTHER, FakeTorchServe
from workers.context import WorkerContext
from workers.delivery import deliver
from workers.inference import infer

pytestmark = pytest.mark.integration
Command = Callable[..., list[dict[str, str]]]


@pytest.fixture
def rescore(place: WorkerContext, torchserve: FakeTorchServe) -> Command:
    """The command at this line; its JSON lines. Both models are served and known."""
    torchserve.others = (OTHER,)
    for digest in (DIGEST, OTHER):
        deployed.describe(place.redis, digest, "{}")

    def run(*options: str) -> list[dict[str, str]]:
        address = ["--redis", place.settings.redis_url]
        done = CliRunner().invoke(main, ["rescore", *address, "--model", OTHER[:12], "--json", *options])
        assert done.exit_code == 0, done.output
        return [json.loads(text) for text in done.stdout.splitlines()]

    return run


def scored(place: WorkerContext, desk: preprocess.WorkerContext, orders: str, **said: str) -> str:
    """The id of a job that was prepared and answered."""
    job_id = submit(place.job_store, place.blobs, orders, **said)
    preprocess.work_once(desk)
    infer.work_once(place)
    assert place.job_store.get(job_id).state is JobState.SUCCEEDED
    return job_id


def test_a_head_gets_a_second_answer_and_keeps_the_first(
    place: WorkerContext, desk: preprocess.WorkerContext, rescore: Command, tmp_path: Path
) -> None:
    told = Covariates(mmse=15).to_text()
    old = scored(place, desk, "level 20", content="c1", covariates=told)
    before = place.job_store.record(old)
    with Receiver() as receiver:
        save(place.redis, new_endpoint("a", receiver.url, now_ms=1))
        (found,) = rescore()
        assert (found["job"], found["outcome"]) == (old, Rescored.QUEUED)
        assert preprocess.work_once(desk) is None
        (claim,) = infer.work_once(place)
        assert deliver.work_once(place) is not None
        assert deliver.work_once(place) is None
    assert place.job_store.record(old) == before
    new = place.job_store.get(found["new_job"])
    assert claim.id == new.id
    assert (new.state, new.text("rescored_from"), new.artifact_prefix) == (
        JobState.SUCCEEDED,
        old,
        before["artifact_prefix"],
    )
    first, second = (Result.model_validate(place.job_store.get(job_id).result) for job_id in (old, new.id))
    assert (first.model_digest, second.model_digest) == (DIGEST, OTHER)
    assert second.clinical == first.clinical is not None
    assert (second.quality, second.pipeline_digest) == (first.quality, first.pipeline_digest)
    ((_, body),) = receiver.received
    assert json.loads(body)["data"] == {"job_id": new.id, "state": "succeeded"}
    log = AuditLog(tmp_path / "audit.jsonl")
    assert take_over(place.redis, log) == 1
    (event,) = read(tmp_path / "audit.jsonl")
    assert (event["what"], event["about"]) == ("operator.rescore", f"model {OTHER}")


def test_nothing_is_put_in_line_twice(
    place: WorkerContext, desk: preprocess.WorkerContext, rescore: Command
) -> None:
    """Interrupted after one, run again, run once more; equal heads count once, and other sites stay apart."""
    jobs = [scored(place, desk, f"level {n}", content=f"c{n}") for n in (1, 2)]
    twin = scored(place, desk, "level 2", content="c2")
    other = scored(place, desk, "level 3", content="c1", site="b")
    failed = submit(place.job_store, place.blobs, "not a head", content="c9")
    preprocess.work_once(desk)
    (_, _, outcome) = next(Rescoring(place.redis, OTHER).run([jobs[0]]))
    assert outcome is Rescored.QUEUED
    assert {one["outcome"] for one in rescore("--dry-run", "--site", "b")} == {Rescored.QUEUED}
    found = {one["job"]: one["outcome"] for one in rescore()}
    assert found == {
        jobs[0]: Rescored.EXISTS, jobs[1]: Rescored.QUEUED, twin: Rescored.TWIN, other: Rescored.QUEUED,
        failed: Rescored.NOTHING,
    }  # fmt: skip
    assert Rescored.QUEUED not in {one["outcome"] for one in rescore()}
    while infer.work_once(place):
        pass
    again = rescore()
    assert {one["outcome"] for one in again} == {Rescored.ANSWERED, Rescored.TWIN, Rescored.NOTHING}
    assert place.redis.hget(keys.TOTALS, "rescored") == "3"


def test_what_was_erased_stays_erased(
    place: WorkerContext, desk: preprocess.WorkerContext, rescore: Command
) -> None:
    old = scored(place, desk, "level 1", content="c1")
    (found,) = rescore()
    place.job_store.erase(place.job_store.get(found["new_job"]))
    assert [one["outcome"] for one in rescore()] == [Rescored.ERASED]
    place.job_store.erase(place.job_store.get(old))
    assert rescore() == []


def test_slices_that_are_gone_fail_the_new_job_alone(
    place: WorkerContext, desk: preprocess.WorkerContext, rescore: Command
) -> None:
    old = scored(place, desk, "level 1", content="c1")
    (found,) = rescore()
    place.blobs.delete(place.job_store.get(old).text("stack_blob"))
    infer.work_once(place)
    job = place.job_store.get(found["new_job"])
    assert (job.state, job.text("error_code")) == (JobState.FAILED, "job.erased")
    assert place.job_store.get(old).state is JobState.SUCCEEDED


def test_jobs_are_chosen_by_site_batch_and_time(place: WorkerContext, desk: preprocess.WorkerContext) -> None:
    first = scored(place, desk, "level 1", content="c1")
    second = scored(place, desk, "level 2", content="c2", site="b")
    assert list(jobs_to_rescore(place.redis)) == [first, second]
    assert list(jobs_to_rescore(place.redis, site="b")) == [second]
    assert list(jobs_to_rescore(place.redis, site="b", batch="bat_" + "0" * 32)) == []
    created = int(place.job_store.get(second).text("created_ms"))
    assert list(jobs_to_rescore(place.redis, site="b", since_ms=created + 1)) == []


def test_an_unknown_model_is_refused(place: WorkerContext) -> None:
    address = ["--redis", place.settings.redis_url]
    for words in (["--model", "f" * 64], []):
        done = CliRunner().invoke(main, ["rescore", *address, *words])
        assert done.exit_code == 5, done.output
