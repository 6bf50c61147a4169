"""What is old is forgotten, site by site, with its blobs; a site's webhooks reach the networks it may."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

import preprocessing_service.service as preprocess
from contracts.errors import JobNotFound
from jobstore import deployed, keys, sites, webhook_endpoints
from tests.integration.workers.scene import submit
from tests.support.receiver import Receiver
from workers.context import WorkerContext
from workers.delivery import deliver
from workers.inference import infer
from workers.maintenance.maintain import delete_pending
from workers.maintenance.retention import retire

pytestmark = [pytest.mark.integration, pytest.mark.privacy]


def finished(place: WorkerContext, desk: preprocess.WorkerContext, site: str) -> str:
    """A job with a result and blobs."""
    job_id = submit(place.job_store, place.blobs, "level 3", site=site)
    preprocess.work_once(desk)
    infer.work_once(place)
    return job_id


def aged(place: WorkerContext, job_id: str, site: str, seconds: float) -> None:
    """Make the job look as old as that."""
    place.redis.zadd(keys.jobs_of_site(site), {job_id: (time.time() - seconds) * 1000})


def test_each_site_keeps_its_jobs_as_long_as_it_said(
    place: WorkerContext, desk: preprocess.WorkerContext
) -> None:
    sites.save(place.redis, sites.Site(name="short", retention_seconds=3600))
    sites.save(place.redis, sites.Site(name="always", retention_seconds=0))
    old = {site: finished(place, desk, site) for site in ("short", "always", "unnamed")}
    for site, job_id in old.items():
        aged(place, job_id, site, 7200)
    young = finished(place, desk, "short")
    waiting = submit(place.job_store, place.blobs, "level 1", site="short")
    aged(place, waiting, "short", 7200)
    stacks = [place.job_store.get(job_id).text("stack_blob") for job_id in (old["short"], young)]
    assert retire(place) == 1
    delete_pending(place)
    with pytest.raises(JobNotFound):
        place.job_store.get(old["short"])
    assert place.job_store.erased_by(old["short"]) is None, "no tombstone: nobody asked for it"
    assert [place.blobs.exists(path) for path in stacks] == [False, True]
    for kept in (old["always"], old["unnamed"], young, waiting):
        place.job_store.get(kept)
    assert retire(place) == 0, "not again so soon"


def test_the_default_is_for_sites_that_nobody_configured(
    place: WorkerContext, desk: preprocess.WorkerContext
) -> None:
    job_id = finished(place, desk, "unnamed")
    aged(place, job_id, "unnamed", 31 * 86400)
    assert retire(place) == 1


def test_a_card_is_kept_as_long_as_a_result_may_name_its_model(place: WorkerContext) -> None:
    """What is in service is never forgotten, even if it has told its card long ago, and lives on after it."""
    current, beside, withdrawn = ("a" * 64, "b" * 64, "c" * 64)
    for digest in (current, beside, withdrawn):
        deployed.describe(place.redis, digest, "{}")
    deployed.publish(place.redis, "model", current)
    place.redis.zadd(keys.CARDS_TOLD, dict.fromkeys((current, beside, withdrawn), time.time() - 31 * 86400))
    place.redis.hset(keys.CARDS, "d" * 64, "{}")  # told before the times of telling were kept
    deployed.describe(place.redis, beside, "{}")
    place.redis.sadd(keys.SITES, "always")
    sites.save(place.redis, sites.Site(name="always", retention_seconds=0))
    retire(place)
    assert deployed.card(place.redis, withdrawn), "a site keeps its results for ever"
    sites.save(place.redis, sites.Site(name="always", retention_seconds=30 * 86400))
    place.redis.delete(keys.retention("asked"))
    retire(place)
    assert deployed.described(place.redis) == [current, beside, "d" * 64]
    deployed.publish(place.redis, "model", beside)
    place.redis.delete(keys.retention("asked"))
    retire(place)
    assert deployed.card(place.redis, current), "results of a moment ago name it"
    assert place.redis.zcard(keys.CARDS_TOLD) == 3


def test_a_sites_webhooks_reach_its_own_networks_and_no_others(
    place: WorkerContext, desk: preprocess.WorkerContext
) -> None:
    place.settings = replace(place.settings, webhook_allow=())
    sites.save(place.redis, sites.Site(name="inside", webhook_allow=("127.0.0.0/8",)))
    sites.save(place.redis, sites.Site(name="outside"))
    with Receiver() as receiver:
        for site in ("inside", "outside"):
            now = int(time.time() * 1000)
            webhook_endpoints.save(
                place.redis, webhook_endpoints.new_endpoint(site, receiver.url, now_ms=now)
            )
            finished(place, desk, site)
        ids = {deliver.work_once(place).id for _ in range(2)}
    states = {place.job_store.record(one)["site"]: place.job_store.record(one)["state"] for one in ids}
    assert states == {"inside": "succeeded", "outside": "pending"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 0},
        {"weight": float("nan")},
        {"most_bytes": -1},
        {"retention_seconds": -1},
        {"webhook_allow": ("10.0.0.1/8",)},
    ],
    ids=str,
)
def test_a_site_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        sites.Site(name="north", **wrong)
