"""The line against a real Redis: fairness, leases, fences, attempts, the outbox."""

from __future__ import annotations

import pytest
import redis

from contracts.errors import Backlog, BatchNotFound, JobNotFound, NotAHead
from contracts.job import Submission
from contracts.states import JobState, Priority, Stage
from jobstore import keys
from jobstore.result_cache import CacheEntry
from jobstore.store import LeaseLost, Line
from tests.integration.jobstore.store_model import losing_answers

pytestmark = pytest.mark.integration


def submission(job_id: str, site: str = "a", **more: object) -> Submission:
    return Submission(
        id=f"job_{job_id}", site=site, content_digest="c0ffee", input_blob=f"inputs/{site}/{job_id}",
        size_bytes=10, media="nifti", **more,
    )  # fmt: skip


def submit(line: Line, *ids: str, site: str = "a", **more: object) -> None:
    for job_id in ids:
        line.submit(submission(job_id, site, **more))
        line.now_ms += 1


def test_a_job_goes_through_every_stage(line: Line, redis_client: redis.Redis) -> None:
    submit(line, "1")
    (first,) = line.claim(Stage.PREPROCESS, "w")
    assert line.get("job_1").state is JobState.PREPROCESSING
    line.advance(first, Stage.INFER, {"stack_blob": "s"})
    assert line.get("job_1").state is JobState.QUEUED_INFER
    (second,) = line.claim(Stage.INFER, "w")
    assert second.attempt == 1
    line.succeed(second, {"result": "{}"}, cache=CacheEntry(keys.cached_result("x"), "{}", 60))
    job = line.get("job_1")
    assert job.state is JobState.SUCCEEDED
    assert job.text("stack_blob") == "s"
    assert (
        line.answers._kept_at.get(line.redis.hget(keys.cached_names("a", "c0ffee"), keys.cached_result("x")))
        == "{}"
    )
    assert redis_client.lrange(keys.PENDING_DELETIONS, 0, -1) == ["inputs/a/1"]
    assert redis_client.hgetall(keys.count("a")) == {
        "queued": "0", "preprocessing": "0", "queued_infer": "0", "inferring": "0", "succeeded": "1",
    }  # fmt: skip


def test_one_site_with_many_jobs_delays_another_by_one(line: Line) -> None:
    submit(line, *(f"a{n}" for n in range(50)))
    line.claim(Stage.PREPROCESS, "w", limit=10)
    submit(line, "b1", site="b")
    started = [c.id for c in line.claim(Stage.PREPROCESS, "w", limit=2)]
    assert "job_b1" in started


def test_weights_share_the_turns(line: Line, redis_client: redis.Redis) -> None:
    redis_client.hset(keys.site("b"), "weight", 3)
    submit(line, *(f"a{n}" for n in range(40)))
    submit(line, *(f"b{n}" for n in range(40)), site="b")
    sites = [c.job.site for c in line.claim(Stage.PREPROCESS, "w", limit=40)]
    assert sites.count("b") == 30


def test_leaving_and_coming_back_wins_no_extra_turns(line: Line) -> None:
    submit(line, *(f"a{n}" for n in range(20)))
    served = []
    for n in range(10):
        submit(line, f"b{n}", site="b")
        served += [c.job.site for c in line.claim(Stage.PREPROCESS, "w")]
    assert 4 <= served.count("b") <= 6


def test_priority_then_age_within_a_site(line: Line) -> None:
    submit(line, "old")
    submit(line, "bulk", priority=Priority.BULK)
    submit(line, "new")
    submit(line, "stat", priority=Priority.STAT)
    order = [c.id for c in line.claim(Stage.PREPROCESS, "w", limit=9)]
    assert order == ["job_stat", "job_old", "job_new", "job_bulk"]


def test_an_expired_lease_goes_back_and_the_late_worker_is_shut_out(line: Line) -> None:
    submit(line, "1")
    (late,) = line.claim(Stage.PREPROCESS, "w1", lease_seconds=1)
    assert line.renew(late, lease_seconds=1)
    line.now_ms += 2000
    assert line.reap().requeued == 1
    assert not line.renew(late)
    with pytest.raises(LeaseLost):
        line.advance(late, Stage.INFER)
    (again,) = line.claim(Stage.PREPROCESS, "w2")
    assert again.attempt == 2
    with pytest.raises(LeaseLost):
        line.fail(late, NotAHead("x"))
    line.advance(again, Stage.INFER)


def test_a_renewed_lease_is_left_alone(line: Line) -> None:
    submit(line, "1")
    (claim,) = line.claim(Stage.PREPROCESS, "w", lease_seconds=1)
    line.now_ms += 900
    assert line.renew(claim, lease_seconds=1)
    line.now_ms += 900
    assert line.reap().requeued == 0


def test_three_lost_attempts_are_poison(line: Line) -> None:
    submit(line, "1")
    for _ in range(3):
        (claim,) = line.claim(Stage.PREPROCESS, "w", lease_seconds=1)
        assert line.renew(claim, lease_seconds=1)
        line.now_ms += 2000
        line.reap()
    job = line.get("job_1")
    assert (job.state, job.text("error_code")) == (JobState.FAILED, "poison")
    assert line.claim(Stage.PREPROCESS, "w") == []


def test_a_claim_that_nobody_ever_renewed_costs_no_attempt_a_few_times(line: Line) -> None:
    submit(line, "1")
    attempts = []
    while line.get("job_1").state is not JobState.FAILED:
        attempts += [c.attempt for c in line.claim(Stage.PREPROCESS, "w", lease_seconds=1)]
        line.now_ms += 2000
        line.reap()
    assert attempts == [1, 1, 1, 1, 1, 1, 2, 3], "five are forgiven, then a death is a death"


def test_a_claim_whose_answer_was_lost_is_given_again_and_costs_nothing(line: Line) -> None:
    submit(line, "1", "2", "3")
    with losing_answers(line), pytest.raises(redis.ConnectionError):
        line.claim(Stage.PREPROCESS, "w", limit=2)
    assert line.running(Stage.PREPROCESS) == 2
    line.now_ms += 10_000
    assert [c.id for c in line.claim(Stage.PREPROCESS, "other")] == ["job_3"]
    again = line.claim(Stage.PREPROCESS, "w")
    assert [(c.id, c.attempt, c.fence) for c in again] == [("job_1", 1, 1), ("job_2", 1, 1)]
    line.now_ms += 25_000
    assert line.reap().requeued == 0, "its lease counts from the answer that arrived"
    for claim in again:
        line.advance(claim, Stage.INFER)
    assert line.claim(Stage.PREPROCESS, "w") == []


def test_what_was_tried_before_is_given_out_alone(line: Line) -> None:
    submit(line, "1", "2", "3", "4")
    for claim in line.claim(Stage.PREPROCESS, "w", limit=2):
        line.release(claim, "worker died")
    submit(line, "5")
    batches = [[c.id for c in line.claim(Stage.PREPROCESS, "w", limit=4)] for _ in range(4)]
    assert batches == [["job_1"], ["job_2"], ["job_3", "job_4", "job_5"], []]


def test_bytes_that_were_erased_and_sent_anew_share_nothing_with_what_is_being_deleted(line: Line) -> None:
    submit(line, "1", "2")
    old = line.get("job_1").shelf
    assert line.get("job_2").shelf == old
    assert line.erase(line.get("job_1")) == []
    assert line.erase(line.get("job_2")) == [f"stacks/a/{old}/", f"explanations/a/{old}/"]
    submit(line, "3")
    assert line.get("job_3").shelf != old
    line.now_ms += 2 * 86_400_000
    line.reap()
    swept = line.redis.lrange(keys.PENDING_DELETIONS, 0, -1)
    assert swept.count(f"stacks/a/{old}/") == 3, "at once, soon, and when no worker can be at it"
    assert not [name for name in swept if line.get("job_3").shelf in name]


def test_a_result_that_was_erased_since_it_was_found_is_made_anew(line: Line) -> None:
    line.redis.hset(keys.cached_names("a", "c0ffee"), "key", "name")
    hit = {"result": '{"cdr": "0"}', "answer_key": "key", "cache": "hit", "model_digest": "m"}
    submit(line, "1", **hit)
    assert line.get("job_1").state is JobState.SUCCEEDED
    line.erase(line.get("job_1"))
    submit(line, "2", **hit)
    job = line.get("job_2")
    assert (job.state, job.text("cache"), job.result) == (JobState.QUEUED, "miss", None)


def test_whoever_submits_twice_is_shown_the_same_record(line: Line) -> None:
    first = line.submit(submission("1"))
    assert first.record == line.record("job_1")
    assert line.submit(submission("1", "b")).record == first.record


def test_a_release_that_does_not_count_gives_the_attempt_back(line: Line) -> None:
    submit(line, "1")
    for _ in range(5):
        (claim,) = line.claim(Stage.PREPROCESS, "w")
        assert claim.attempt == 1
        line.release(claim, "model server away", delay_seconds=5, counts=False)
        assert line.claim(Stage.PREPROCESS, "w") == []
        line.now_ms += 5000


def test_cancel_waiting_and_running(line: Line) -> None:
    submit(line, "1", "2")
    assert line.cancel("job_2") is JobState.CANCELED
    (claim,) = line.claim(Stage.PREPROCESS, "w", limit=5)
    assert line.cancel("job_1") is JobState.CANCELED
    with pytest.raises(LeaseLost):
        line.advance(claim, Stage.INFER)
    assert line.depth(Stage.PREPROCESS) == line.running(Stage.PREPROCESS) == 0
    with pytest.raises(JobNotFound):
        line.cancel("job_3")


def test_a_deadline_ends_a_running_job(line: Line) -> None:
    submit(line, "1", deadline_ms=1_005_000)
    line.claim(Stage.PREPROCESS, "w")
    line.now_ms = 1_006_000
    assert line.reap().expired == 1
    assert line.get("job_1").state is JobState.EXPIRED


def test_a_failure_keeps_code_and_figures(line: Line) -> None:
    submit(line, "1")
    (claim,) = line.claim(Stage.PREPROCESS, "w")
    line.fail(claim, NotAHead("brain of 12 mL", volume_ml=12))
    job = line.get("job_1")
    assert job.text("error_code") == "quality.not_a_head"
    assert job.text("error_figures") == '{"volume_ml": 12}'


def test_a_terminal_job_owes_each_endpoint_one_delivery(line: Line, redis_client: redis.Redis) -> None:
    redis_client.hset(keys.endpoints("a"), mapping={"whe_x": "{}", "whe_y": "{}"})
    submit(line, "1")
    submit(line, "2", site="b")
    line.cancel("job_1")
    line.cancel("job_2")
    owed = line.claim(Stage.DELIVER, "w", limit=9)
    assert sorted(c.id for c in owed) == ["whd_1_x", "whd_1_y"]
    assert owed[0].record["event"] == "job.canceled"


def test_a_known_result_never_waits(line: Line) -> None:
    submit(line, "1", result='{"cdr": "0"}', cache="hit")
    job = line.get("job_1")
    assert job.state is JobState.SUCCEEDED
    assert job.result == {"cdr": "0"}
    assert line.depth(Stage.PREPROCESS) == 0


def test_a_full_line_takes_nothing(line: Line) -> None:
    line.submit(submission("1"), most_waiting=1)
    for ask in (line.check_room, line.submit):
        with pytest.raises(Backlog):
            ask(submission("2"), most_waiting=1)
    line.check_room(submission("1"), most_waiting=1)  # it is there already
    with pytest.raises(BatchNotFound):
        line.check_room(submission("2", batch="batch_none"), most_waiting=2)
    line.check_room(submission("2"), most_waiting=2)
    with pytest.raises(JobNotFound):
        line.get("job_2")


def test_position_counts_the_turns_of_others(line: Line) -> None:
    submit(line, "1", "2", "3")
    submit(line, "b", site="b")
    assert line.position("job_1") in {0, 1}
    assert line.position("job_3") == 3
    line.claim(Stage.PREPROCESS, "w", limit=9)
    assert line.position("job_3") is None


def test_position_over_several_blocks(line: Line) -> None:
    """One site with 600 jobs, others with fewer: every site has its turn before the next of the first."""
    for site, jobs in (("a", 600), ("b", 300), ("c", 2)):
        submit(line, *(f"{site}{n}" for n in range(jobs)), site=site)
    for place in (0, 1, 2, 254, 255, 256, 299, 300, 511, 512, 599):
        assert line.position(f"job_a{place}") == place + min(place + 1, 300) + min(place + 1, 2)
    line.cancel("job_b0")
    assert line.position("job_a299") == 299 + 299 + 2
    line.claim(Stage.PREPROCESS, "w", limit=901)
    assert line.redis.hgetall(keys.longer("preprocess")) == {}


def test_bytes_of_a_record_of_an_earlier_revision_are_given_back(
    line: Line, redis_client: redis.Redis
) -> None:
    """It knows one size, `size_bytes`, which was that of the stored bytes and was counted."""
    line.submit(submission("1", stored_bytes=10))
    redis_client.hdel(keys.record("job_1"), "stored_bytes")
    line.cancel("job_1")
    assert redis_client.get(keys.held_bytes("a")) == "0"
