"""What an operator can do to the line: drain and let in again, hand back, open a failed job again."""

from __future__ import annotations

import json
import logging

import pytest
import redis

from contracts.errors import DeadLettered, Gone, JobNotFound, NotAHead, WrongState
from contracts.job import Submission
from contracts.states import JobState, Stage
from jobstore import draining, heartbeats, keys, sites
from jobstore.store import JobStore, LeaseLost

pytestmark = pytest.mark.integration


def submit(job_store: JobStore, job_id: str, site: str = "a", **more: int) -> None:
    job_store.submit(
        Submission(
            id=job_id, site=site, content_digest="d" + job_id, input_blob=f"inputs/{job_id}", size_bytes=10,
            stored_bytes=10,
            media="nifti", trace_id="7" * 32, **more,
        )
    )  # fmt: skip


def asks_for_quarantine(job_store: JobStore, site: str = "a", *, days: int = 3) -> None:
    sites.save(job_store.redis, sites.Site(name=site, quarantine_seconds=days * 86_400))


def poisoned(job_store: JobStore, job_id: str, site: str = "a") -> None:
    submit(job_store, job_id, site)
    (claim,) = job_store.claim(Stage.PREPROCESS, "h/1/2")
    job_store.fail(claim, DeadLettered("The last of 3 attempts ended in ZeroDivisionError"))


def test_a_drained_stage_gives_nothing_out_until_it_is_let_in_again(job_store: JobStore) -> None:
    submit(job_store, "job_1")
    draining.drain(job_store.redis, "stage:preprocess", now_ms=5)
    assert job_store.claim(Stage.PREPROCESS, "h/1/2") == []
    assert draining.drained(job_store.redis) == {"stage:preprocess": 5}
    assert job_store.depth(Stage.PREPROCESS) == 1
    assert draining.resume(job_store.redis, "stage:preprocess")
    assert len(job_store.claim(Stage.PREPROCESS, "h/1/2")) == 1


def test_a_drained_host_leaves_the_work_to_the_others(job_store: JobStore) -> None:
    submit(job_store, "job_1")
    draining.drain(job_store.redis, "host:old", now_ms=5)
    assert job_store.claim(Stage.PREPROCESS, "old/1/2") == []
    assert job_store.claim(Stage.PREPROCESS, "older/1/2") != []


def test_what_is_handed_back_goes_to_another_at_once_and_costs_no_attempt(job_store: JobStore) -> None:
    for number in range(3):
        submit(job_store, f"job_{number}")
    (late,) = job_store.claim(Stage.PREPROCESS, "old/1/2")
    job_store.claim(Stage.PREPROCESS, "new/1/3")
    draining.drain(job_store.redis, "host:old", now_ms=5)
    claims = draining.held_by(job_store, "host:old")
    assert [claim.id for claim in claims] == [late.id]
    assert draining.hand_back(job_store, claims) == 1
    assert draining.hand_back(job_store, claims) == 0, "nobody's claim is taken twice"
    assert len(draining.held_by(job_store, "stage:preprocess")) == 1
    again = job_store.claim(Stage.PREPROCESS, "new/1/4", limit=2)
    assert {claim.id: claim.attempt for claim in again}[late.id] == 1
    with pytest.raises(LeaseLost):
        job_store.advance(late, Stage.INFER)


def test_a_poisoned_job_keeps_its_upload_until_the_quarantine_ends(
    job_store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    asks_for_quarantine(job_store)
    poisoned(job_store, "job_1")
    assert job_store.redis.lrange(keys.PENDING_DELETIONS, 0, -1) == []
    assert job_store.redis.sismember(keys.UPLOADS_IN_USE, "inputs/job_1")
    job_store.now_ms = 1_000_000 + 3 * 86_400_000
    with caplog.at_level(logging.WARNING):
        job_store.reap()
    assert job_store.redis.lrange(keys.PENDING_DELETIONS, 0, -1) == ["inputs/job_1"]
    assert not job_store.redis.sismember(keys.UPLOADS_IN_USE, "inputs/job_1")
    (told,) = [record for record in caplog.records if record.getMessage() == "quarantine.ended"]
    assert (vars(told)["job"], vars(told)["site"], vars(told)["trace_id"]) == ("job_1", "a", "7" * 32)
    with pytest.raises(Gone):
        job_store.reopen("job_1")


@pytest.mark.parametrize("configured", [False, True], ids=["a bare site", "a site with a key"])
def test_nobody_is_put_in_quarantine_who_did_not_ask_for_it(job_store: JobStore, configured: bool) -> None:
    if configured:
        sites.save(job_store.redis, sites.Site(name="a"))
    poisoned(job_store, "job_1")
    assert job_store.redis.lrange(keys.PENDING_DELETIONS, 0, -1) == ["inputs/job_1"]
    assert job_store.redis.zcard(keys.QUARANTINE) == 0
    with pytest.raises(Gone):
        job_store.reopen("job_1")


def test_erasing_ends_the_quarantine(job_store: JobStore) -> None:
    asks_for_quarantine(job_store)
    poisoned(job_store, "job_1")
    job_store.erase(job_store.get("job_1"))
    assert "inputs/job_1" in job_store.redis.lrange(keys.PENDING_DELETIONS, 0, -1)
    assert job_store.redis.zcard(keys.QUARANTINE) == 0


def test_a_job_that_is_opened_again_starts_anew_and_is_announced_again(job_store: JobStore) -> None:
    asks_for_quarantine(job_store)
    job_store.redis.hset(keys.endpoints("a"), "whe_x", "{}")
    submit(job_store, "job_1")
    before = (job_store.redis.get(keys.held_bytes("a")), job_store.redis.hgetall(keys.count("a")))
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job_store.fail(claim, DeadLettered("?"))
    assert job_store.reopen("job_1") is Stage.PREPROCESS
    after = job_store.redis.hgetall(keys.count("a"))
    assert (job_store.redis.get(keys.held_bytes("a")), {k: v for k, v in after.items() if v != "0"}) == before
    job = job_store.get("job_1")
    assert (job.state, job.attempt, job.text("error_code")) == (JobState.QUEUED, 0, "")
    with pytest.raises(LeaseLost):
        job_store.fail(claim, DeadLettered("late"))
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job_store.advance(claim, Stage.INFER, {"stack_blob": "stacks/a/1"})
    (claim,) = job_store.claim(Stage.INFER, "w")
    job_store.succeed(claim, {"result": "{}"})
    assert job_store.redis.get(keys.held_bytes("a")) == "0"
    owed = job_store.claim(Stage.DELIVER, "w", limit=9)
    assert sorted((one.id, one.record["event"]) for one in owed) == [
        ("whd_1_x", "job.failed"), ("whd_1_x_r1", "job.succeeded"),
    ]  # fmt: skip
    assert {one.record["trace_id"] for one in owed} == {"7" * 32}


def test_a_job_that_failed_at_inference_goes_on_from_its_slices(job_store: JobStore) -> None:
    submit(job_store, "job_1")
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job_store.advance(claim, Stage.INFER, {"stack_blob": "stacks/a/1"})
    (claim,) = job_store.claim(Stage.INFER, "w")
    job_store.fail(claim, NotAHead("a refusal, so its upload is gone"))
    assert job_store.reopen("job_1") is Stage.INFER


def test_what_cannot_be_opened_again_says_why(job_store: JobStore) -> None:
    with pytest.raises(JobNotFound):
        job_store.reopen("job_none")
    submit(job_store, "job_1")
    with pytest.raises(WrongState, match="queued"):
        job_store.reopen("job_1")
    job_store.cancel("job_1")
    with pytest.raises(WrongState, match="canceled"):
        job_store.reopen("job_1")
    submit(job_store, "job_2")
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job_store.fail(claim, NotAHead("none"))
    with pytest.raises(Gone):
        job_store.reopen("job_2")


def test_an_expired_job_loses_its_deadline_when_it_is_opened_again(job_store: JobStore) -> None:
    submit(job_store, "job_1", deadline_ms=1_000_500)
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job_store.advance(claim, Stage.INFER, {"stack_blob": "stacks/a/1"})
    job_store.now_ms = 1_001_000
    assert job_store.reap().expired == 1
    assert job_store.reopen("job_1") is Stage.INFER
    job_store.now_ms = 9_000_000
    assert job_store.reap().expired == 0


def test_what_the_reaper_and_the_last_attempt_end_is_told(
    job_store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    submit(job_store, "job_1")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            (claim,) = job_store.claim(Stage.PREPROCESS, "w", lease_seconds=1)
            job_store.renew(claim, lease_seconds=1)
            job_store.now_ms = (job_store.now_ms or 0) + 2000
            job_store.reap()
    events = [(record.getMessage(), vars(record)["attempt"]) for record in caplog.records]
    assert events == [("lease.expired", 1), ("lease.expired", 2), ("lease.expired", 3), ("job.poisoned", 3)]
    caplog.clear()
    submit(job_store, "job_2")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            job_store.release(job_store.claim(Stage.PREPROCESS, "w")[0], "worker died")
        assert job_store.claim(Stage.PREPROCESS, "w") == []
    assert [(record.getMessage(), vars(record)["job"]) for record in caplog.records] == [
        ("job.poisoned", "job_2")
    ]


def test_pools_are_known_while_they_tell_and_forgotten_after_an_hour(redis_client: redis.Redis) -> None:
    old = heartbeats.Pool("gone/1/1", ("infer",), 2, since_ms=1, seen_ms=1)
    redis_client.hset(keys.WORKERS, old.name, json.dumps(vars(old)))
    heartbeats.tell(redis_client, lambda now: heartbeats.Pool("here/1/2", ("preprocess",), 4, now, now))
    (pool,) = heartbeats.pools(redis_client)
    assert (pool.name, pool.queues, pool.slots) == ("here/1/2", ("preprocess",), 4)
    assert not pool.is_silent(pool.seen_ms + 10_000)
    assert pool.is_silent(pool.seen_ms + 30_000)
