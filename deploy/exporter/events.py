"""Counters and the histogram of jobs' ends, as the job store's scripts count them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import cast

import redis
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from jobstore import keys

EVENTS = {
    "submitted": ("hippocamp_jobs_submitted", "Jobs taken, answered from the cache or queued", ""),
    "cache_hit": ("hippocamp_cache_hits", "Jobs answered from the cache at submit", ""),
    "claimed": ("hippocamp_claims", "Records given to a worker", "stage"),
    "redelivered": ("hippocamp_redeliveries", "Claims of records that were claimed before", "stage"),
    "batches": ("hippocamp_claim_batches", "Times a worker was given one record or more at once", "stage"),
    "reopened": (
        "hippocamp_jobs_reopened",
        "Jobs an operator put back in the queue after they had ended",
        "",
    ),
    "released": ("hippocamp_releases", "Claims handed back for another try", "stage"),
    "lease_expired": ("hippocamp_lease_expiries", "Claims whose worker went silent", "stage"),
    "fence_rejected": ("hippocamp_fence_rejections", "Commits refused because the claim was lost", "stage"),
    "job.dead_lettered": ("hippocamp_dead_lettered", "Records given up after their last attempt", "stage"),
    "entered": ("hippocamp_transitions", "Times a job entered a state", "state"),
    "failed": ("hippocamp_jobs_failed", "Jobs that ended in an error, by its code", "code"),
}
"""Event of the totals, up to its first colon -> metric, what it says, label for the rest of the event."""

STAGES = ("preprocess", "infer", "deliver")
"""Values that every counter by stage shows from the start, so that its first event is seen as an increase."""


def figures(client: redis.Redis) -> Iterator[Metric]:
    """All totals; RedisError when it cannot be read."""
    totals = cast("dict[str, str]", client.hgetall(keys.TOTALS))
    counts = {name: int(value) for name, value in totals.items()}
    families = {event: _family(*about) for event, about in EVENTS.items()}
    for (event, rest), count in _with_zeros(counts).items():
        families[event].add_metric([rest] if EVENTS[event][2] else [], count)
    yield from families.values()
    yield _ends(counts)


def _family(name: str, about: str, label: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, about, labels=[label] if label else [])


def _with_zeros(counts: Mapping[str, int]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for event, (_, _, label) in EVENTS.items():
        for value in STAGES if label == "stage" else () if label else ("",):
            found[event, value] = 0
    for name, count in counts.items():
        event, _, rest = name.partition(":")
        if event in EVENTS:
            found[event, rest] = count
    return found


def _ends(counts: Mapping[str, int]) -> Metric:
    """`ended:<state>:<bound>` -> count up to that many seconds; `ended_ms:<state>` -> their sum."""
    by_state: dict[str, dict[float, int]] = defaultdict(dict)
    for name, count in counts.items():
        if name.startswith("ended:"):
            _, state, upper = name.split(":")
            by_state[state][float(upper)] = count
    family = HistogramMetricFamily("hippocamp_job_seconds", "Seconds from submit to end", labels=["state"])
    for state, found in by_state.items():
        running, buckets = 0, []
        for bound in BOUNDS:
            running += found.get(bound, 0)
            buckets.append(("+Inf" if bound == float("inf") else str(bound), running))
        family.add_metric([state], buckets, counts.get(f"ended_ms:{state}", 0) / 1000)
    return family


BOUNDS = (*(float(n) for n in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)), float("inf"))
"""Upper bounds in seconds; those of BOUNDS in jobstore/lua/prelude.lua."""
