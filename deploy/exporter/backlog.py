"""What waits and what runs, by stage and site: depth, oldest age, leases, states of jobs, blobs to delete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from contracts.states import JobState, Stage
from jobstore import clock, keys
from jobstore.inbox import collected
from jobstore.load import OTHER, SiteLoad, cap, read_sites


def figures(client: redis.Redis, *, most_sites: int) -> Iterator[Metric]:
    """Every gauge of the job store; RedisError when it cannot be read."""
    now_ms = clock.now_ms(client)
    loads = cap(read_sites(client), most_sites)
    yield from _by_site(loads, now_ms)
    yield from _collected(client, most_sites, now_ms)
    yield from _by_stage(client, now_ms)
    about = "Blobs that wait to be deleted"
    yield GaugeMetricFamily("hippocamp_pending_deletions", about, client.llen(keys.PENDING_DELETIONS))


def _by_site(loads: Mapping[str, SiteLoad], now_ms: int) -> Iterator[Metric]:
    by = ["stage", "site"]
    waiting = GaugeMetricFamily("hippocamp_waiting", "Records that may start now", labels=by)
    oldest = GaugeMetricFamily("hippocamp_oldest_seconds", "Age of the oldest of them", labels=by)
    jobs = GaugeMetricFamily("hippocamp_jobs", "Jobs on record", labels=["site", "state"])
    for site, load in loads.items():
        for stage in Stage:
            made = load.oldest_ms.get(stage, now_ms)
            waiting.add_metric([stage, site], load.waiting.get(stage, 0))
            oldest.add_metric([stage, site], max(0, now_ms - made) / 1000)
        for state in JobState:
            jobs.add_metric([site, state], load.jobs.get(state, 0))
    yield from (waiting, oldest, jobs, _through(loads))


def _collected(client: redis.Redis, most_sites: int, now_ms: int) -> Iterator[Metric]:
    """What STOW-RS and C-STORE brought and is kept in the inbox; sites beyond the most are one."""
    about = "Studies whose DICOM instances are collected"
    studies = GaugeMetricFamily("hippocamp_inbox_studies", about, labels=["site"])
    about = "Since anything came of the study that is quiet for longest"
    oldest = GaugeMetricFamily("hippocamp_inbox_oldest_seconds", about, labels=["site"])
    found = sorted(collected(client).items(), key=lambda one: (-one[1].studies, one[0]))
    rest = found[most_sites:]
    rows = [(site, held.studies, held.oldest_ms) for site, held in found[:most_sites]]
    if rest:
        rows.append((OTHER, sum(one.studies for _, one in rest), min(one.oldest_ms for _, one in rest)))
    for site, count, last_ms in rows:
        studies.add_metric([site], count)
        oldest.add_metric([site], max(0, now_ms - last_ms) / 1000)
    yield from (studies, oldest)


def _through(loads: Mapping[str, SiteLoad]) -> Metric:
    """Only of sites with a label of their own: a sum over changing sites would go back now and then."""
    about = "Records of a site that came through a stage"
    family = CounterMetricFamily("hippocamp_site_commits", about, labels=["stage", "site"])
    for site, load in loads.items():
        for stage in Stage if site != OTHER else ():
            family.add_metric([stage, site], load.done.get(stage, 0))
    return family


def _by_stage(client: redis.Redis, now_ms: int) -> Iterator[Metric]:
    running = GaugeMetricFamily("hippocamp_running", "Records a worker holds", labels=["stage"])
    overdue = GaugeMetricFamily(
        "hippocamp_lease_overdue_seconds",
        "How long the oldest ended lease waits for the reaper",
        labels=["stage"],
    )
    delayed = GaugeMetricFamily("hippocamp_delayed", "Records that wait for their time", labels=["stage"])
    pace = GaugeMetricFamily("hippocamp_pace_seconds", "Smoothed time a record is held", labels=["stage"])
    paces = cast("dict[str, str]", client.hgetall(keys.PACE))
    for stage in Stage:
        first = cast("list[tuple[str, float]]", client.zrange(keys.leases(stage), 0, 0, withscores=True))
        ended = max(0.0, now_ms - first[0][1]) / 1000 if first else 0.0
        running.add_metric([stage], client.zcard(keys.leases(stage)))
        overdue.add_metric([stage], ended)
        delayed.add_metric([stage], client.zcard(keys.later(stage)))
        pace.add_metric([stage], float(paces.get(stage, 0)) / 1000)
    yield from (running, overdue, delayed, pace)
