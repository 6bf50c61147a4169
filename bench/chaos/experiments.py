"""The table of experiments: which fault meets which work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.chaos import faults
from bench.chaos.gap import kill_in_the_gap
from bench.chaos.receivers import misbehave
from bench.chaos.system import System

Fault = Callable[[System, threading.Event], None]
FULL = 1000


@dataclass(frozen=True)
class Experiment:
    """One row.

    jobs: how many in the quick run; the full one has FULL. work: orders of an ordinary one.
    doomed: orders of 1 % of the jobs each, which must end as failed.
    fsync: how Redis writes its append-only file. around: what surrounds the whole work.
    """

    name: str
    fault: Fault
    jobs: int = 80
    work: str = "sleep 0.4"
    doomed: tuple[str, ...] = ()
    fsync: str = "always"
    around: Callable[[System], AbstractContextManager[None]] | None = None
    environment: tuple[tuple[str, str], ...] = ()

    def orders(self, *, quick: bool) -> list[str]:
        """One order a job, not shuffled."""
        jobs = self.jobs if quick else FULL
        each = max(1, jobs // 100)
        ill = [order for order in self.doomed for _ in range(each)]
        return [*ill, *[self.work] * (jobs - len(ill))]

    @property
    def gap_seconds(self) -> float:
        """Between two submissions: jobs come about as fast as four children do them."""
        return float(self.work.split()[1]) / 4


SHORT_LEASE = (("HIPPOCAMP_LEASE_SECONDS", "3"),)
IMPATIENT = (("HIPPOCAMP_WEBHOOK_TIMEOUT_SECONDS", "2"),)

ALL = [
    Experiment("children", faults.kill_children),
    Experiment("workers", faults.kill_workers, jobs=120, work="sleep 0.8"),
    Experiment("gap", kill_in_the_gap, jobs=40),
    Experiment("redis always", faults.kill_redis, work="sleep 0.5"),
    Experiment("redis everysec", faults.kill_redis, work="sleep 0.5", fsync="everysec"),
    Experiment("resets", faults.reset_connections),
    Experiment("model server", faults.sick_model, work="sleep 0.1"),
    Experiment(
        "poison",
        faults.nothing,
        work="sleep 0.2",
        doomed=("crash", "hang", "hog", "bomb"),
        environment=SHORT_LEASE,
    ),
    Experiment("gateway", faults.kill_gateway, work="sleep 0.2"),
    Experiment("doubles", faults.double_everything, environment=SHORT_LEASE),
    Experiment("receivers", misbehave, work="sleep 0.2", environment=IMPATIENT),
    Experiment("rolling", faults.scale_down_and_up, jobs=60),
    Experiment("disk", faults.fill_blobs, around=faults.small_disk),
    Experiment("maxmemory", faults.starve_redis),
]
