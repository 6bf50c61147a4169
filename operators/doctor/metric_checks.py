"""What `doctor` reads off the exporter: the job store, the workers and Redis, by rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from client.errors import Unavailable
from operators.doctor.checks import Finding, Verdict
from operators.exposition import Figures

_LONGEST_WAIT = 600
Rule = tuple[str, Callable[[Figures], bool], Callable[[Figures], str], str]


def figure_checks(read: Callable[[], Figures], *, named: bool = False) -> Iterator[Finding]:
    """What the exporter's figures say about the job store, the workers and Redis.

    named: somebody said where the exporter is, so that it must be there.
    """
    try:
        figures = read()
    except Unavailable as error:
        verdict = Verdict.BAD if named else Verdict.SKIPPED
        yield Finding(
            "exporter",
            verdict,
            str(error),
            "Start it: the alerts about the job store are blind" if named else "",
        )
        return
    alive = figures.total("hippocamp_job_store_up") == 1
    advice = "Is Redis up, and HIPPOCAMP_REDIS_URL of the exporter right?"
    yield Finding(
        "exporter",
        *((Verdict.GOOD, "reads the job store") if alive else (Verdict.BAD, "reaches no Redis", advice)),
    )
    if not alive:
        return
    off = sorted(labels["stage"] for labels, value in figures.of("hippocamp_drained") if value)
    for stage in off:
        yield Finding(
            "drained", Verdict.ODD, f"{stage} claims nothing", f"hippocamp-admin drain --undo {stage}"
        )
    for name, is_bad, found, advice in _RULES:
        bad = is_bad(figures)
        yield Finding(name, Verdict.BAD if bad else Verdict.GOOD, found(figures), advice if bad else "")


def _idle(figures: Figures, stage: str) -> bool:
    ages = [age for _, age in figures.of("hippocamp_oldest_seconds", stage=stage)]
    nobody = figures.total("hippocamp_running", stage=stage) == 0
    return figures.total("hippocamp_waiting", stage=stage) > 0 and nobody and max(ages, default=0) > 30


def _load(figures: Figures, stage: str) -> str:
    waiting, running = (figures.total(f"hippocamp_{what}", stage=stage) for what in ("waiting", "running"))
    return f"{waiting:.0f} waiting, {running:.0f} running"


def _oldest(figures: Figures) -> float:
    return max((age for _, age in figures.of("hippocamp_oldest_seconds")), default=0.0)


_RULES: tuple[Rule, ...] = (
    *(
        (
            f"{stage} workers",
            lambda f, s=stage: _idle(f, s),
            lambda f, s=stage: _load(f, s),
            f"Jobs wait and nobody works: start workers of the queue {stage}, look for stuck ones",
        )
        for stage in ("preprocess", "infer", "deliver")
    ),
    (
        "age of the queue",
        lambda f: _oldest(f) > _LONGEST_WAIT,
        lambda f: f"the oldest waits {_oldest(f):.0f} s",
        "Add workers of the stage that is behind (`hippocamp-admin top`)",
    ),
    (
        "leases",
        lambda f: max((v for _, v in f.of("hippocamp_lease_overdue_seconds")), default=0.0) > 30,
        lambda f: f"{f.total('hippocamp_lease_expiries_total'):.0f} ran out so far",
        "Ended leases are not collected: is the maintain worker (and beat) running?",
    ),
    (
        "redis log",
        lambda f: f.total("hippocamp_redis_aof_enabled") != 1 or f.total("hippocamp_redis_aof_ok") != 1,
        lambda f: "on and written" if f.total("hippocamp_redis_aof_enabled") == 1 else "off",
        "An accepted job can be lost: set appendonly yes, appendfsync always; look at the disk",
    ),
    (
        "redis memory",
        lambda f: f.total("hippocamp_redis_limit_bytes") > 0
        and f.total("hippocamp_redis_used_bytes") > 0.85 * f.total("hippocamp_redis_limit_bytes"),
        lambda f: f"{f.total('hippocamp_redis_used_bytes') / 1e6:.0f} MB used",
        "Raise maxmemory, or shorten retention; at the limit submissions are refused",
    ),
    (
        "evictions",
        lambda f: f.total("hippocamp_redis_evicted_keys") > 0,
        lambda f: f"{f.total('hippocamp_redis_evicted_keys'):.0f} keys dropped",
        "Records may be lost: set maxmemory-policy noeviction",
    ),
)  # fmt: skip
