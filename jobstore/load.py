"""What each site has waiting and on record, read in few round trips; for the exporter and for the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import redis
from redis.client import Pipeline

from contracts.states import Priority, Stage
from jobstore import keys

CLASS = 10**13
"""Score of a waiting id = its priority's rank × CLASS + creation in ms (jobstore/lua/prelude.lua)."""

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


def read_sites(client: redis.Redis) -> dict[str, SiteLoad]:
    """Load of every site, in round trips of at most _CHUNK commands."""
    loads: dict[str, SiteLoad] = defaultdict(SiteLoad)
    sites = sorted(cast("set[str]", client.smembers(keys.SITES)))
    counts = _ask(client, [partial(_states, key=keys.count(site)) for site in sites])
    done = _ask(client, [partial(_states, key=keys.done(site)) for site in sites])
    for site, states, through in zip(sites, counts, done, strict=True):
        loads[site].jobs = {state: int(count) for state, count in states.items()}
        loads[site].done = {stage: int(count) for stage, count in through.items()}
    for stage in Stage:
        _read_stage(client, stage, loads)
    return loads


def _states(pipe: Pipeline, *, key: str) -> object:
    return pipe.hgetall(key)


def _read_stage(client: redis.Redis, stage: Stage, loads: dict[str, SiteLoad]) -> None:
    sites = cast("list[str]", client.zrange(keys.turns(stage), 0, -1))
    answers = iter(_ask(client, [q for site in sites for q in _of_queue(keys.waiting(stage, site))]))
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
