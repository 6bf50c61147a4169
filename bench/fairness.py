"""Who starts when: one site with thousands waiting, ten sites with one job, sites of unequal weight."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
from rich.console import Console
from rich.table import Table

from contracts.job import Submission
from contracts.states import Stage
from deploy.local.services import redis as redis_service
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem
from jobstore import sites
from jobstore.sites import Site
from jobstore.store import JobStore
from runtime.redis_connections import connect

LATE_START = 10
"""Place by which the single job of every late site must have started: nobody waits longer than a round."""

SCAN_BYTES = 12_000_000
"""Of each upload, counted against the site's quota of bytes."""

WEIGHTS = {"w1": 1.0, "w2": 2.0, "w4": 4.0}


@dataclass(frozen=True)
class Fairness:
    """places: when each late site's job started, 0 = next. shares: site -> (turns, turns due by weight)."""

    waiting: int
    places: list[int]
    jain: float
    shares: dict[str, tuple[int, float]]
    claim_ms: float

    @property
    def worst_share(self) -> float:
        """Largest relative distance of a site's turns from what its weight is due."""
        return max(abs(turns - due) / due for turns, due in self.shares.values())

    @property
    def passed(self) -> bool:
        """Late sites start within their round, equal sites get equal turns, weights are kept to 1 %."""
        return max(self.places) <= LATE_START and self.jain > 0.999 and self.worst_share < 0.01


def jain(turns: Sequence[float]) -> float:
    """Jain's index (Jain, Chiu, Hawe 1984): 1 when all are equal, 1/n when one has everything."""
    return sum(turns) ** 2 / (len(turns) * sum(one * one for one in turns))


@contextmanager
def empty_redis() -> Iterator[redis.Redis]:
    """The Redis of the local system, alone, in a folder of its own."""
    with TemporaryDirectory() as folder:
        settings = LocalSettings(redis_fsync="no").beside(Path(folder))
        made = redis_service(settings)
        stack = LocalSystem(settings, [redis_service])
        (settings.folder / "logs").mkdir()
        stack._start(made)
        try:
            yield connect(f"redis://127.0.0.1:{settings.ports.redis}/0")
        finally:
            stack.down()


def submit(job_store: JobStore, site: Site, count: int) -> None:
    """Configure the site and put jobs of it in line."""
    sites.save(job_store.redis, site)
    for n in range(count):
        job_store.submit(
            Submission(
                id=f"job_{site.name}_{n}",
                site=site.name,
                content_digest=f"{site.name}{n}",
                input_blob="",
                size_bytes=SCAN_BYTES,
                stored_bytes=SCAN_BYTES,
                media="",
            )
        )


def turns(job_store: JobStore, count: int) -> list[str]:
    """Sites of the next `count` claims, one at a time as workers make them."""
    return [claim.job.site for _ in range(count) for claim in job_store.claim(Stage.PREPROCESS, "bench")]


def measure(client: redis.Redis, waiting: int) -> Fairness:
    """Run the three scenes on one Redis, one after the other."""
    job_store = JobStore(client)
    submit(job_store, Site(name="big", most_waiting=waiting, most_bytes=waiting * SCAN_BYTES), waiting)
    turns(job_store, 50)
    for n in range(10):
        submit(job_store, Site(name=f"late{n}"), 1)
    begun = time.perf_counter()
    order = turns(job_store, 30)
    claim_ms = (time.perf_counter() - begun) / 30 * 1000
    places = [order.index(f"late{n}") for n in range(10)]
    client.flushall()
    for n in range(10):
        submit(job_store, Site(name=f"equal{n}"), 40)
    equal = Counter(turns(job_store, 200))
    client.flushall()
    for name, weight in WEIGHTS.items():
        submit(job_store, Site(name=name, weight=weight), 420)
    weighted, total = Counter(turns(job_store, 420)), sum(WEIGHTS.values())
    shares = {name: (weighted[name], 420 * weight / total) for name, weight in WEIGHTS.items()}
    return Fairness(waiting, places, jain([equal[f"equal{n}"] for n in range(10)]), shares, claim_ms)


def show(found: Fairness, console: Console) -> None:
    """The mode, tables, then one line of key=value."""
    console.print(
        "site mode: configured sites with default quotas; the first may have as many waiting as wait"
    )
    late = Table("site", "place at which it started", title=f"{found.waiting} jobs of one site wait")
    for n, place in enumerate(found.places):
        late.add_row(f"late{n}", str(place))
    console.print(late)
    weights = Table("site", "weight", "turns", "due", title="Three busy sites, 420 turns")
    for name, (got, due) in found.shares.items():
        weights.add_row(name, f"{WEIGHTS[name]:g}", str(got), f"{due:.0f}")
    console.print(weights)
    console.print(
        f"fairness waiting={found.waiting} first_place={min(found.places)} last_place={max(found.places)}"
        f" jain={found.jain:.4f} worst_share={found.worst_share:.4f} claim_ms={found.claim_ms:.2f}"
        f" passed={'yes' if found.passed else 'no'}"
    )


def main() -> int:
    """`python -m bench.fairness [--waiting N] [--check]`: with --check, 1 when a bound is broken."""
    parser = argparse.ArgumentParser(prog="bench.fairness", description=__doc__)
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    with empty_redis() as client:
        found = measure(client, given.waiting)
    show(found, Console(width=100, highlight=False, soft_wrap=True))
    return 0 if found.passed or not given.check else 1


if __name__ == "__main__":
    sys.exit(main())
