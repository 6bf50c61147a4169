"""What waits and what runs, by stage and site: depth, oldest age, leases, states of jobs, blobs to delete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis.client import Pipeline

from contracts.states import JobState, Priority, Stage

CLASS = 10**13
"""Score of a waiting id = its priority's rank × CLASS + creation in ms (contracts/lua/prelude.lua)."""

OTHER = "other"
Question = Callable[[Pipeline], object]
_CHUNK = 500


@dataclass
class SiteLoad:
    """One site's waiting records by stage, when the oldest of each stage was made (ms), its jobs by state.

    done: records that ever came through each stage.
    """

    waiting: dict[Stage, int] = field(default_factory=dict)
    oldest_ms: dict[Stage, int] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    def add(self, other: SiteLoad) -> None:
        """Take another site's load in."""
        for stage, count in other.waiting.items():
            self.waiting[stage] = self.waiting.get(stage, 0) + count
            self.oldest_ms[stage] = min(self.oldest_ms.get(stage, 2**62), other.oldest_ms[stage])
        for state, count in other.jobs.items():
            self.jobs[state] = self.jobs.get(state, 0) + count


def figures(client: redis.Redis, *, most_sites: int) -> Iterator[Metric]:
    """Every gauge of the line; RedisError when it cannot be read."""
    seconds, micros = client.time()
    now_ms = seconds * 1000 + micros // 1000
    loads = cap(read_sites(client), most_sites)
    yield from _by_site(loads, now_ms)
    yield from _by_stage(client, now_ms)
    about = "Blobs that wait to be deleted"
    yield GaugeMetricFamily("hippocamp_garbage_blobs", about, client.llen("hc:garbage"))


def read_sites(client: redis.Redis) -> dict[str, SiteLoad]:
    """Load of every site, in round trips of at most _CHUNK commands."""
    loads: dict[str, SiteLoad] = defaultdict(SiteLoad)
    sites = sorted(cast("set[str]", client.smembers("hc:sites")))
    counts = _ask(client, [partial(_states, key=f"hc:count:{site}") for site in sites])
    done = _ask(client, [partial(_states, key=f"hc:done:{site}") for site in sites])
    for site, states, through in zip(sites, counts, done, strict=True):
        loads[site].jobs = {state: int(count) for state, count in states.items()}
        loads[site].done = {stage: int(count) for stage, count in through.items()}
    for stage in Stage:
        _read_stage(client, stage, loads)
    return loads


def _states(pipe: Pipeline, *, key: str) -> object:
    return pipe.hgetall(key)


def _read_stage(client: redis.Redis, stage: Stage, loads: dict[str, SiteLoad]) -> None:
    sites = cast("list[str]", client.zrange(f"hc:turn:{stage}", 0, -1))
    answers = iter(_ask(client, [q for site in sites for q in _of_queue(f"hc:wait:{stage}:{site}")]))
    for site in sites:
        count = int(next(answers))
        firsts = [next(answers) for _ in Priority]
        made = [int(float(first[0][1])) % CLASS for first in firsts if first]
        if count and made:
            loads[site].waiting[stage], loads[site].oldest_ms[stage] = count, min(made)


def _of_queue(key: str) -> Iterator[Question]:
    """How many wait, and the oldest of each priority."""
    yield lambda pipe: pipe.zcard(key)
    for rank in range(len(Priority)):
        low, high = rank * CLASS, f"({(rank + 1) * CLASS}"
        yield partial(_first, key=key, low=low, high=high)


def _first(pipe: Pipeline, *, key: str, low: int, high: str) -> object:
    return pipe.zrangebyscore(key, low, high, start=0, num=1, withscores=True)


def _ask(client: redis.Redis, questions: Sequence[Question]) -> list[Any]:
    answers: list[Any] = []
    for start in range(0, len(questions), _CHUNK):
        with client.pipeline(transaction=False) as pipe:
            for question in questions[start : start + _CHUNK]:
                question(pipe)
            answers += pipe.execute()
    return answers


def cap(loads: Mapping[str, SiteLoad], most: int) -> dict[str, SiteLoad]:
    """The `most` sites with the most jobs by name, the rest as "other"."""
    ranked = sorted(loads, key=lambda site: (-sum(loads[site].jobs.values()), site))
    kept = {site: loads[site] for site in ranked[:most]}
    if len(ranked) > most:
        rest = SiteLoad()
        for site in ranked[most:]:
            rest.add(loads[site])
        kept[OTHER] = rest
    return kept


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
    paces = cast("dict[str, str]", client.hgetall("hc:pace"))
    for stage in Stage:
        first = cast("list[tuple[str, float]]", client.zrange(f"hc:lease:{stage}", 0, 0, withscores=True))
        ended = max(0.0, now_ms - first[0][1]) / 1000 if first else 0.0
        running.add_metric([stage], client.zcard(f"hc:lease:{stage}"))
        overdue.add_metric([stage], ended)
        delayed.add_metric([stage], client.zcard(f"hc:later:{stage}"))
        pace.add_metric([stage], float(paces.get(stage, 0)) / 1000)
    yield from (running, overdue, delayed, pace)
