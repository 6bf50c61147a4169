"""The exporter tells what Redis's state says, and that Redis is away when it is."""

from __future__ import annotations

import pytest
import redis
from prometheus_client import CollectorRegistry

from contracts.errors import NotAHead
from contracts.job import Submission, new_job_id
from contracts.states import JobState, Priority, Stage
from deploy.exporter.collector import StateCollector
from jobstore import clock, deployed
from jobstore.store import JobStore
from runtime.redis_connections import connect

pytestmark = pytest.mark.integration


def scrape(client: redis.Redis, *, most_sites: int = 10) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StateCollector(client, most_sites=most_sites))
    return registry


def submit(job_store: JobStore, site: str = "a", *, priority: Priority = Priority.ROUTINE) -> str:
    job_id = new_job_id()
    job_store.submit(
        Submission(
            id=job_id, site=site, content_digest="ab", input_blob=f"inputs/{job_id}", size_bytes=1,
            media="nifti", priority=priority,
        )
    )  # fmt: skip
    return job_id


def test_depth_and_oldest_age_are_by_stage_and_site(redis_client: redis.Redis) -> None:
    now = clock.now_ms(redis_client)
    submit(JobStore(redis_client, now_ms=now - 90_000), "b", priority=Priority.BULK)
    submit(JobStore(redis_client, now_ms=now - 5_000), "b")
    submit(JobStore(redis_client, now_ms=now - 1_000), "b", priority=Priority.STAT)
    submit(JobStore(redis_client, now_ms=now), "a")
    found = scrape(redis_client)
    assert found.get_sample_value("hippocamp_waiting", {"stage": "preprocess", "site": "b"}) == 3
    assert found.get_sample_value("hippocamp_waiting", {"stage": "infer", "site": "b"}) == 0
    oldest = found.get_sample_value("hippocamp_oldest_seconds", {"stage": "preprocess", "site": "b"})
    assert oldest == pytest.approx(90, abs=5), "the oldest of any priority"
    assert found.get_sample_value("hippocamp_jobs", {"site": "a", "state": "queued"}) == 1


def test_sites_over_the_cap_are_summed_as_other(redis_client: redis.Redis) -> None:
    job_store = JobStore(redis_client)
    for _ in range(3):
        submit(job_store, "large")
    for number in range(8):
        submit(job_store, f"small{number}")
    found = scrape(redis_client, most_sites=2)
    labels = {s.labels["site"] for f in found.collect() if f.name == "hippocamp_waiting" for s in f.samples}
    assert labels == {"large", "small0", "other"}
    assert found.get_sample_value("hippocamp_waiting", {"stage": "preprocess", "site": "other"}) == 7
    assert found.get_sample_value("hippocamp_jobs", {"site": "other", "state": "queued"}) == 7


def test_events_are_counters_that_start_at_zero(redis_client: redis.Redis) -> None:
    found = scrape(redis_client)
    assert found.get_sample_value("hippocamp_dead_lettered_total", {"stage": "infer"}) == 0
    assert found.get_sample_value("hippocamp_jobs_submitted_total") == 0


def test_what_happened_in_the_line_is_counted(redis_client: redis.Redis) -> None:
    now = clock.now_ms(redis_client)
    job_store = JobStore(redis_client, now_ms=now - 40_000)
    for _ in range(3):
        submit(job_store)
    first, second = job_store.claim(Stage.PREPROCESS, "w", limit=2, lease_seconds=1)
    later = JobStore(redis_client, now_ms=now)
    assert later.reap().requeued == 2
    with pytest.raises(Exception, match=first.id):
        later.fail(first, NotAHead("none"))
    (again,) = later.claim(Stage.PREPROCESS, "w")
    later.fail(again, NotAHead("none"))
    (held,) = later.claim(Stage.PREPROCESS, "w")
    found = scrape(redis_client)
    stage = {"stage": "preprocess"}
    assert found.get_sample_value("hippocamp_jobs_submitted_total") == 3
    assert found.get_sample_value("hippocamp_claims_total", stage) == 4
    assert found.get_sample_value("hippocamp_lease_expiries_total", stage) == 2
    assert found.get_sample_value("hippocamp_fence_rejections_total", stage) == 1
    assert found.get_sample_value("hippocamp_jobs_failed_total", {"code": "quality.not_a_head"}) == 1
    assert found.get_sample_value("hippocamp_running", stage) == 1
    failed = {"state": "failed"}
    assert found.get_sample_value("hippocamp_job_seconds_bucket", {**failed, "le": "30.0"}) == 0
    assert found.get_sample_value("hippocamp_job_seconds_bucket", {**failed, "le": "60.0"}) == 1
    assert found.get_sample_value("hippocamp_job_seconds_sum", failed) == pytest.approx(40)
    assert {second.id, held.id} <= {first.id, second.id, again.id, held.id}


def test_a_lease_that_nobody_reaps_shows(redis_client: redis.Redis) -> None:
    job_store = JobStore(redis_client, now_ms=clock.now_ms(redis_client) - 60_000)
    submit(job_store)
    job_store.claim(Stage.PREPROCESS, "w", lease_seconds=1)
    found = scrape(redis_client)
    overdue = found.get_sample_value("hippocamp_lease_overdue_seconds", {"stage": "preprocess"})
    assert overdue == pytest.approx(59, abs=5)


def test_proofs_and_build_are_told(redis_client: redis.Redis) -> None:
    deployed.record_heartbeat(redis_client, "model_server")
    deployed.publish(redis_client, "model", "ef" * 32)
    found = scrape(redis_client)
    age = found.get_sample_value("hippocamp_heartbeat_age_seconds", {"part": "model_server"})
    assert age == pytest.approx(0, abs=5)
    assert found.get_sample_value("hippocamp_heartbeat_age_seconds", {"part": "infer"}) == float("inf")
    assert found.get_sample_value("hippocamp_redis_aof_enabled") == 0
    (build,) = next(f for f in found.collect() if f.name == "hippocamp_build_info").samples
    assert build.labels["model"] == "ef" * 6


def test_every_state_of_the_line_has_a_sample(redis_client: redis.Redis) -> None:
    submit(JobStore(redis_client))
    states = {
        s.labels["state"]
        for f in scrape(redis_client).collect()
        if f.name == "hippocamp_jobs"
        for s in f.samples
    }
    assert states == set(JobState)


def test_a_redis_that_is_away_is_reported_not_raised() -> None:
    found = scrape(connect("redis://127.0.0.1:1/0", timeout_seconds=0.2, retries=0))
    assert found.get_sample_value("hippocamp_job_store_up") == 0
    assert found.get_sample_value("hippocamp_jobs_submitted_total") is None
