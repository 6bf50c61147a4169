"""The table of experiments: which fault meets which work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from bench.chaos import faults
from bench.chaos.gap import kill_in_the_gap
from bench.chaos.network import bad_network, cut_at_wait
from bench.chaos.parts import twin
from bench.chaos.receivers import misbehave
from bench.chaos.surroundings import Surroundings
from bench.chaos.system import System

Fault = Callable[[System, threading.Event], None]
FULL = 1000


@dataclass(frozen=True)
class Experiment:
    """One row.

    jobs: how many in the quick run; the full one has FULL. work: orders of an ordinary one.
    doomed: orders of 1 % of the jobs each, which must end as failed.
    scans: so many of the jobs are real heads of 12 MB.
    about: what is special about its system. around: what surrounds the whole work.
    """

    name: str
    fault: Fault
    jobs: int = 80
    work: str = "sleep 0.4"
    doomed: tuple[str, ...] = ()
    scans: int = 0
    about: Surroundings = field(default_factory=Surroundings)
    around: Callable[[System], AbstractContextManager[None]] | None = None

    def orders(self, *, quick: bool) -> list[str]:
        """One order a job, not shuffled."""
        jobs = self.jobs if quick else FULL
        each = max(1, jobs // 100)
        special = [order for order in self.doomed for _ in range(each)] + ["scan"] * self.scans
        return [*special, *[self.work] * (jobs - len(special))]

    @property
    def gap_seconds(self) -> float:
        """Between two submissions: jobs come about as fast as four children do them."""
        return float(self.work.split()[1]) / 4


SHORT_LEASE = Surroundings(environment=(("HIPPOCAMP_LEASE_SECONDS", "3"),))
IMPATIENT = Surroundings(environment=(("HIPPOCAMP_WEBHOOK_TIMEOUT_SECONDS", "2"),))
NETWORK = Surroundings(network=True)

ALL = [
    Experiment("children", faults.kill_children),
    Experiment("workers", faults.kill_workers, jobs=120, work="sleep 0.8"),
    Experiment("gap", kill_in_the_gap, jobs=40),
    Experiment("redis always", faults.kill_redis, work="sleep 0.5"),
    Experiment("redis everysec", faults.kill_redis, work="sleep 0.5", about=Surroundings(fsync="everysec")),
    Experiment("resets", faults.reset_connections),
    Experiment("late network", bad_network, scans=16, about=NETWORK),
    Experiment("wait", cut_at_wait, jobs=60, about=replace(NETWORK, replica=True)),
    Experiment("model server", faults.sick_model, work="sleep 0.1"),
    Experiment(
        "job.dead_lettered",
        faults.nothing,
        work="sleep 0.2",
        doomed=("crash", "hang", "hog", "bomb"),
        about=SHORT_LEASE,
    ),
    Experiment("gateway", faults.kill_gateway, work="sleep 0.2", scans=8),
    Experiment("doubles", faults.double_everything, about=SHORT_LEASE),
    Experiment("receivers", misbehave, work="sleep 0.2", about=IMPATIENT),
    Experiment("rolling", faults.scale_down_and_up, jobs=60),
    Experiment("same host name", faults.same_name, work="sleep 0.8", about=Surroundings(more=(twin,))),
    Experiment("disk", faults.fill_blobs, around=faults.small_disk),
    Experiment("full disk", faults.fill_everything, about=Surroundings(small_disk=600)),
    Experiment("maxmemory", faults.starve_redis),
]
