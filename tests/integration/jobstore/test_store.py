"""The line against a real Redis: fairness, leases, fences, attempts, the outbox."""

from __future__ import annotations

import pytest
import redis

from contracts.errors import Backlog, BatchNotFound, JobNotFound, NotAHead
from contracts.job import Submission
from contracts.states import JobState, Priority, Stage
from jobstore import keys
from jobstore.result_cache import CacheEntry
from jobstore.store import JobStore, LeaseLost
from tests.integration.jobstore.store_model import losing_answers

pytestmark = pytest.mark.integration


def submission(job_id: str, site: str = "a", **more: object) -> Submission:
    return Submission(
        id=f"job_{job_id}", site=site, content_digest="c0ffee", input_blob=f"inputs/{site}/{job_id}",
        size_bytes=10, media="nifti", **more,
    )  # fmt: skip


def submit(job_store: JobStore, *ids: str, site: str = "a", **more: object) -> None:
    for job_id in ids:
        job_store.submit(submission(job_id, site, **more))
        job_store.now_ms += 1


def test_a_job_goes_through_every_stage(job_store: JobStore, redis_client: redis.Redis) -> None:
    submit(job_store, "1")
    (first,) = job_store.claim(Stage.PREPROCESS, "w")
    assert job_store.get("job_1").state is JobState.PREPROCESSING
    job_store.advance(first, Stage.INFER, {"stack_blob": "s"})
    assert job_store.get("job_1").state is JobState.QUEUED_INFER
    (second,) = job_store.claim(Stage.INFER, "w")
    assert second.attempt == 1
    job_store.succeed(second, {"result": "{}"}, cache=CacheEntry(keys.cached_result("x"), "{}", 60))
    job = job_store.get("job_1")
    assert job.state is JobState.SUCCEEDED
    assert job.text("stack_blob") == "s"
    assert (
        job_store.answers._kept_at.get(
            job_store.redis.hget(keys.cached_names("a", "c0ffee"), keys.cached_result("x"))
        )
        == "{}"
    )
    assert redis_client.lrange(keys.PENDING_DELETIONS, 0, -1) == ["inputs/a/1"]
    assert redis_client.hgetall(keys.count("a")) == {
        "queued": "0", "preprocessing": "0", "queued_infer": "0", "inferring": "0", "succeeded": "1",
    }  # fmt: skip


def test_one_site_with_many_jobs_delays_another_by_one(job_store: JobStore) -> None:
    submit(job_store, *(f"a{n}" for n in range(50)))
    job_store.claim(Stage.PREPROCESS, "w", limit=10)
    submit(job_store, "b1", site="b")
    started = [c.id for c in job_store.claim(Stage.PREPROCESS, "w", limit=2)]
    assert "job_b1" in started


def test_weights_share_the_turns(job_store: JobStore, redis_client: redis.Redis) -> None:
    redis_client.hset(keys.site("b"), "weight", 3)
    submit(job_store, *(f"a{n}" for n in range(40)))
    submit(job_store, *(f"b{n}" for n in range(40)), site="b")
    sites = [c.job.site for c in job_store.claim(Stage.PREPROCESS, "w", limit=40)]
    assert sites.count("b") == 30


def test_leaving_and_coming_back_wins_no_extra_turns(job_store: JobStore) -> None:
    submit(job_store, *(f"a{n}" for n in range(20)))
    served = []
    for n in range(10):
        submit(job_store, f"b{n}", site="b")
        served += [c.job.site for c in job_store.claim(Stage.PREPROCESS, "w")]
    assert 4 <= served.count("b") <= 6


def test_priority_then_age_within_a_site(job_store: JobStore) -> None:
    submit(job_store, "old")
    submit(job_store, "bulk", priority=Priority.BULK)
    submit(job_store, "new")
    submit(job_store, "stat", priority=Priority.STAT)
    order = [c.id for c in job_store.claim(Stage.PREPROCESS, "w", limit=9)]
    assert order == ["job_stat", "job_old", "job_new", "job_bulk"]


def test_an_expired_lease_goes_back_and_the_late_worker_is_shut_out(job_store: JobStore) -> None:
    submit(job_store, "1")
    (late,) = job_store.claim(Stage.PREPROCESS, "w1", lease_seconds=1)
    assert job_store.renew(late, lease_seconds=1)
    job_store.now_ms += 2000
    assert job_store.reap().requeued == 1
    assert not job_store.renew(late)
    with pytest.raises(LeaseLost):
        job_store.advance(late, Stage.INFER)
    (again,) = job_store.claim(Stage.PREPROCESS, "w2")
    assert again.attempt == 2
    with pytest.raises(LeaseLost):
        job_store.fail(late, NotAHead("x"))
    job_store.advance(again, Stage.INFER)


def test_a_renewed_lease_is_left_alone(job_store: JobStore) -> None:
    submit(job_store, "1")
    (claim,) = job_store.claim(Stage.PREPROCESS, "w", lease_seconds=1)
    job_store.now_ms += 900
    assert job_store.renew(claim, lease_seconds=1)
    job_store.now_ms += 900
    assert job_store.reap().requeued == 0


def test_three_lost_attempts_are_dead_lettered(job_store: JobStore) -> None:
    submit(job_store, "1")
    for _ in range(3):
        (claim,) = job_store.claim(Stage.PREPROCESS, "w", lease_seconds=1)
        assert job_store.renew(claim, lease_seconds=1)
        job_store.now_ms += 2000
        job_store.reap()
    job = job_store.get("job_1")
    assert (job.state, job.text("error_code")) == (JobState.FAILED, "job.dead_lettered")
    assert job_store.claim(Stage.PREPROCESS, "w") == []


def test_a_claim_that_nobody_ever_renewed_costs_no_attempt_a_few_times(job_store: JobStore) -> None:
    submit(job_store, "1")
    attempts = []
    while job_store.get("job_1").state is not JobState.FAILED:
        attempts += [c.attempt for c in job_store.claim(Stage.PREPROCESS, "w", lease_seconds=1)]
        job_store.now_ms += 2000
        job_store.reap()
    assert attempts == [1, 1, 1, 1, 1, 1, 2, 3], "five are forgiven, then a death is a death"


def test_a_claim_whose_answer_was_lost_is_given_again_and_costs_nothing(job_store: JobStore) -> None:
    submit(job_store, "1", "2", "3")
    with losing_answers(job_store), pytest.raises(redis.ConnectionError):
        job_store.claim(Stage.PREPROCESS, "w", limit=2)
    assert job_store.running(Stage.PREPROCESS) == 2
    job_store.now_ms += 10_000
    assert [c.id for c in job_store.claim(Stage.PREPROCESS, "other")] == ["job_3"]
    again = job_store.claim(Stage.PREPROCESS, "w")
    assert [(c.id, c.attempt, c.fence) for c in again] == [("job_1", 1, 1), ("job_2", 1, 1)]
    job_store.now_ms += 25_000
    assert job_store.reap().requeued == 0, "its lease counts from the answer that arrived"
    for claim in again:
        job_store.advance(claim, Stage.INFER)
    assert job_store.claim(Stage.PREPROCESS, "w") == []


def test_what_was_tried_before_is_given_out_alone(job_store: JobStore) -> None:
    submit(job_store, "1", "2", "3", "4")
    for claim in job_store.claim(Stage.PREPROCESS, "w", limit=2):
        job_store.release(claim, "worker died")
    submit(job_store, "5")
    batches = [[c.id for c in job_store.claim(Stage.PREPROCESS, "w", limit=4)] for _ in range(4)]
    assert batches == [["job_1"], ["job_2"], ["job_3", "job_4", "job_5"], []]


def test_bytes_that_were_erased_and_sent_anew_share_nothing_with_what_is_being_deleted(
    job_store: JobStore,
) -> None:
    submit(job_store, "1", "2")
    old = job_store.get("job_1").artifact_prefix
    assert job_store.get("job_2").artifact_prefix == old
    assert job_store.erase(job_store.get("job_1")) == []
    assert job_store.erase(job_store.get("job_2")) == [f"stacks/a/{old}/", f"explanations/a/{old}/"]
    submit(job_store, "3")
    assert job_store.get("job_3").artifact_prefix != old
    job_store.now_ms += 2 * 86_400_000
    job_store.reap()
    swept = job_store.redis.lrange(keys.PENDING_DELETIONS, 0, -1)
    assert swept.count(f"stacks/a/{old}/") == 3, "at once, soon, and when no worker can be at it"
    assert not [name for name in swept if job_store.get("job_3").artifact_prefix in name]


def test_a_result_that_was_erased_since_it_was_found_is_made_anew(job_store: JobStore) -> None:
    job_store.redis.hset(keys.cached_names("a", "c0ffee"), "key", "name")
    hit = {"result": '{"cdr": "0"}', "answer_key": "key", "cache": "hit", "model_digest": "m"}
    submit(job_store, "1", **hit)
    assert job_store.get("job_1").state is JobState.SUCCEEDED
    job_store.erase(job_store.get("job_1"))
    submit(job_store, "2", **hit)
    job = job_store.get("job_2")
    assert (job.state, job.text("cache"), job.result) == (JobState.QUEUED, "miss", None)


def test_whoever_submits_twice_is_shown_the_same_record(job_store: JobStore) -> None:
    first = job_store.submit(submission("1"))
    assert first.record == job_store.record("job_1")
    assert job_store.submit(submission("1", "b")).record == first.record


def test_a_release_that_does_not_count_gives_the_attempt_back(job_store: JobStore) -> None:
    submit(job_store, "1")
    for _ in range(5):
        (claim,) = job_store.claim(Stage.PREPROCESS, "w")
        assert claim.attempt == 1
        job_store.release(claim, "model server away", delay_seconds=5, counts=False)
        assert job_store.claim(Stage.PREPROCESS, "w") == []
        job_store.now_ms += 5000


def test_cancel_waiting_and_running(job_store: JobStore) -> None:
    submit(job_store, "1", "2")
    assert job_store.cancel("job_2") is JobState.CANCELED
    (claim,) = job_store.claim(Stage.PREPROCESS, "w", limit=5)
    assert job_store.cancel("job_1") is JobState.CANCELED
    with pytest.raises(LeaseLost):
        job_store.advance(claim, Stage.INFER)
    assert job_store.depth(Stage.PREPROCESS) == job_store.running(Stage.PREPROCESS) == 0
    with pytest.raises(JobNotFound):
        job_store.cancel("job_3")


def test_a_deadline_ends_a_running_job(job_store: JobStore) -> None:
    submit(job_store, "1", deadline_ms=1_005_000)
    job_store.claim(Stage.PREPROCESS, "w")
    job_store.now_ms = 1_006_000
    assert job_store.reap().expired == 1
    assert job_store.get("job_1").state is JobState.EXPIRED


def test_a_failure_keeps_code_and_figures(job_store: JobStore) -> None:
    submit(job_store, "1")
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job_store.fail(claim, NotAHead("brain of 12 mL", volume_ml=12))
    job = job_store.get("job_1")
    assert job.text("error_code") == "quality.not_a_head"
    assert job.text("error_figures") == '{"volume_ml": 12}'


def test_a_terminal_job_owes_each_endpoint_one_delivery(
    job_store: JobStore, redis_client: redis.Redis
) -> None:
    redis_client.hset(keys.endpoints("a"), mapping={"whe_x": "{}", "whe_y": "{}"})
    submit(job_store, "1")
    submit(job_store, "2", site="b")
    job_store.cancel("job_1")
    job_store.cancel("job_2")
    owed = job_store.claim(Stage.DELIVER, "w", limit=9)
    assert sorted(c.id for c in owed) == ["whd_1_x", "whd_1_y"]
    assert owed[0].record["event"] == "job.canceled"


def test_a_known_result_never_waits(job_store: JobStore) -> None:
    submit(job_store, "1", result='{"cdr": "0"}', cache="hit")
    job = job_store.get("job_1")
    assert job.state is JobState.SUCCEEDED
    assert job.result == {"cdr": "0"}
    assert job_store.depth(Stage.PREPROCESS) == 0


def test_a_full_line_takes_nothing(job_store: JobStore) -> None:
    job_store.submit(submission("1"), most_waiting=1)
    for ask in (job_store.check_room, job_store.submit):
        with pytest.raises(Backlog):
            ask(submission("2"), most_waiting=1)
    job_store.check_room(submission("1"), most_waiting=1)  # it is there already
    with pytest.raises(BatchNotFound):
        job_store.check_room(submission("2", batch="batch_none"), most_waiting=2)
    job_store.check_room(submission("2"), most_waiting=2)
    with pytest.raises(JobNotFound):
        job_store.get("job_2")


def test_position_counts_the_turns_of_others(job_store: JobStore) -> None:
    submit(job_store, "1", "2", "3")
    submit(job_store, "b", site="b")
    assert job_store.position("job_1") in {0, 1}
    assert job_store.position("job_3") == 3
    job_store.claim(Stage.PREPROCESS, "w", limit=9)
    assert job_store.position("job_3") is None


def test_position_over_several_blocks(job_store: JobStore) -> None:
    """One site with 600 jobs, others with fewer: every site has its turn before the next of the first."""
    for site, jobs in (("a", 600), ("b", 300), ("c", 2)):
        submit(job_store, *(f"{site}{n}" for n in range(jobs)), site=site)
    for place in (0, 1, 2, 254, 255, 256, 299, 300, 511, 512, 599):
        assert job_store.position(f"job_a{place}") == place + min(place + 1, 300) + min(place + 1, 2)
    job_store.cancel("job_b0")
    assert job_store.position("job_a299") == 299 + 299 + 2
    job_store.claim(Stage.PREPROCESS, "w", limit=901)
    assert job_store.redis.hgetall(keys.longer("preprocess")) == {}


def test_bytes_of_a_record_of_an_earlier_revision_are_given_back(
    job_store: JobStore, redis_client: redis.Redis
) -> None:
    """It knows one size, `size_bytes`, which was that of the stored bytes and was counted."""
    job_store.submit(submission("1", stored_bytes=10))
    redis_client.hdel(keys.record("job_1"), "stored_bytes")
    job_store.cancel("job_1")
    assert redis_client.get(keys.held_bytes("a")) == "0"
