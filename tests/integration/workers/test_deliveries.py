"""Webhooks when receivers are down, slow, gone, redirecting, or not to be reached at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from contracts.states import Stage
from jobstore import keys
from jobstore.store import JobStore
from jobstore.webhook_endpoints import Endpoint, find, new_endpoint, remove, save
from tests.integration.workers.scene import submit
from tests.support.receiver import Receiver
from workers.context import WorkerContext
from workers.delivery import deliver
from workers.delivery.endpoint_rest import SCHEDULE, pause_after

pytestmark = pytest.mark.integration


def owe(place: WorkerContext, url: str, *, site: str = "a") -> tuple[Endpoint, str]:
    """An endpoint of the site, and the delivery that a job just ended owes it."""
    endpoint = new_endpoint(site, url, now_ms=1)
    save(place.redis, endpoint)
    job_id = submit(place.job_store, place.blobs, "level 1", site=site)
    place.job_store.cancel(job_id)
    return endpoint, f"whd_{job_id[4:]}_{endpoint.id[4:]}"


def state_of(job_store: JobStore, delivery: str) -> tuple[str, int]:
    record = job_store.record(delivery)
    return record["state"], int(record["attempt"])


def test_ten_attempts_over_three_days_then_failed(place: WorkerContext, clocked: JobStore) -> None:
    with Receiver(status=500) as receiver:
        _, delivery = owe(place, receiver.url)
        started = clocked.now_ms
        for attempt in range(1, 11):
            place.redis.delete(*place.redis.keys(keys.resting("*")) or ["none"])
            assert deliver.work_once(place) is not None, attempt
            assert deliver.work_once(place) is None
            if attempt < 10:
                assert state_of(clocked, delivery) == ("pending", attempt)
                clocked.now_ms += int(1000 * pause_after(attempt, delivery)) + 1
    assert state_of(clocked, delivery) == ("failed", 10)
    assert 75 * 3600 < (clocked.now_ms - started) / 1000 < 84 * 3600
    assert len({body for _, body in receiver.received}) == 1
    assert {headers["webhook-id"] for headers, _ in receiver.received} == {delivery}
    assert clocked.record(delivery)["error_code"] == "webhook.failed"


def test_the_schedule_is_ten_attempts_within_about_75_hours() -> None:
    assert len(SCHEDULE) == 9
    assert 75 <= sum(SCHEDULE) / 3600 <= 76
    assert all(s <= pause_after(n + 1, "whd_x") <= 1.1 * s for n, s in enumerate(SCHEDULE))


def test_a_failed_delivery_can_be_replayed(place: WorkerContext, clocked: JobStore) -> None:
    with Receiver() as receiver:
        endpoint, delivery = owe(place, receiver.url)
        place.redis.hset(keys.record(delivery), "attempt", 9)
        receiver.status = 503
        deliver.work_once(place)
        assert state_of(clocked, delivery) == ("failed", 10)
        receiver.status = 200
        assert clocked.replay(delivery)
        assert not clocked.replay(delivery)
        deliver.work_once(place)
        assert state_of(clocked, delivery) == ("succeeded", 1)
        assert clocked.replay(delivery)
        deliver.work_once(place)
    assert len(receiver.received) == 3
    headers, body = receiver.received[-1]
    Webhook(endpoint.secrets[0].key).verify(body, headers)


def test_both_keys_sign_while_a_rotation_lasts(place: WorkerContext, clocked: JobStore) -> None:
    with Receiver() as receiver:
        endpoint, _ = owe(place, receiver.url)
        new = endpoint.rotated(4_000_000_000_000, overlap_seconds=60)
        save(place.redis, new)
        deliver.work_once(place)
    headers, body = receiver.received[0]
    for secret in (endpoint.secrets[0], new.secrets[0]):
        assert Webhook(secret.key).verify(body, headers)["type"] == "job.canceled"


def test_410_disables_the_endpoint_and_nothing_is_owed_any_more(
    place: WorkerContext, clocked: JobStore
) -> None:
    with Receiver(status=410) as receiver:
        endpoint, first = owe(place, receiver.url)
        waiting = submit(clocked, place.blobs, "level 1")
        clocked.cancel(waiting)
        deliver.work_once(place)
        deliver.work_once(place)
    assert state_of(clocked, first)[0] == "failed"
    assert len(receiver.received) == 1
    kept = find(place.redis, "a", endpoint.id)
    assert kept is not None
    assert "410" in kept.disabled
    clocked.cancel(submit(clocked, place.blobs, "level 1"))
    assert clocked.depth(Stage.DELIVER) == 0
    save(place.redis, replace(kept, disabled=""))
    clocked.cancel(submit(clocked, place.blobs, "level 1"))
    assert clocked.depth(Stage.DELIVER) == 1


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
def test_everything_but_2xx_is_tried_again_and_never_followed(
    place: WorkerContext, clocked: JobStore, status: int
) -> None:
    with Receiver() as inner, Receiver(status=status, location=inner.url) as receiver:
        _, delivery = owe(place, receiver.url)
        deliver.work_once(place)
    assert state_of(clocked, delivery) == ("pending", 1)
    assert inner.received == []
    assert clocked.record(delivery)["response_status"] == str(status)


def test_an_inward_address_is_never_reached(place: WorkerContext, clocked: JobStore) -> None:
    with Receiver() as receiver:
        place.settings = replace(place.settings, webhook_allow=())
        _, delivery = owe(place, receiver.url)
        deliver.work_once(place)
    assert receiver.received == []
    assert "an address that is not public" in clocked.record(delivery)["last_error"]


def test_a_slow_receiver_is_left_alone_and_delays_nobody(place: WorkerContext, clocked: JobStore) -> None:
    with Receiver(drip=0.05) as slow, Receiver() as fast:
        owe(place, slow.url, site="slow")
        for _ in range(5):
            clocked.cancel(submit(clocked, place.blobs, "level 1", site="slow"))
        owe(place, fast.url, site="fast")
        for _ in range(7):
            deliver.work_once(place)
    assert len(slow.received) == 1
    assert len(fast.received) == 1
    attempts = [int(clocked.record(d)["attempt"]) for d in place.redis.zrange(keys.deliveries("slow"), 0, -1)]
    assert sorted(attempts) == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("status", [204, 410, 500])
def test_what_is_erased_during_an_attempt_stays_erased(
    place: WorkerContext, clocked: JobStore, status: int
) -> None:
    """While the receiver thinks, the site erases the job and removes the endpoint."""
    with Receiver(status=status) as receiver:
        endpoint, delivery = owe(place, receiver.url)
        job = clocked.get(clocked.record(delivery)["job_id"])
        receiver.meanwhile = lambda: (clocked.erase(job), remove(place.redis, "a", endpoint.id))
        assert deliver.work_once(place) is not None
    assert len(receiver.received) == 1
    assert clocked.record(delivery) == {}
    assert find(place.redis, "a", endpoint.id) is None


def test_a_removed_endpoint_ends_what_it_was_owed(place: WorkerContext, clocked: JobStore) -> None:
    endpoint, delivery = owe(place, "http://127.0.0.1:9/")
    place.redis.hdel(keys.endpoints("a"), endpoint.id)
    deliver.work_once(place)
    assert state_of(clocked, delivery) == ("failed", 1)


@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "http://nowhere.invalid/", "http://127.0.0.1:1/", "http://[::1"]
)
def test_an_url_that_leads_nowhere_is_a_failed_attempt(
    place: WorkerContext, clocked: JobStore, url: str
) -> None:
    _, delivery = owe(place, url)
    deliver.work_once(place)
    assert state_of(clocked, delivery) == ("pending", 1)
