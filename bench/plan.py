"""How many machines: the system as a discrete-event model, with costs measured on the real line.

`python -m bench.plan [--jobs N]` measures what a job costs Redis here, then prints
1. how fast 1, 10, 100 and 1,000 workers get through an endless backlog, and what holds them up;
2. a peak hour of ten million jobs a day on as many workers as it takes: use of parts, seconds to a result.

A worker is one slot of preprocessing on one core; each has the share of TorchServe that keeps up with it.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from bench.redis_cost import RATE, STEPS, Cost, measure

Steps = Generator[Any, Any, None]
DAY, PEAK = 10_000_000, 3.0
"""Jobs a day, and how much busier the busiest hour is than the mean."""
UPLOAD_MB = 10
_BATCH = 4
_SPREAD = 0.3
"""Coefficient of variation of a stage's seconds."""


@dataclass(frozen=True)
class Seconds:
    """Of one job. gateway, preprocess, infer: of one core. call: Redis's core for one script.

    sync: a write of the append-only file to disk, shared by all calls that wait. network: one round trip.
    """

    gateway: float
    preprocess: float
    infer: float
    call: float
    sync: float
    network: float


@dataclass
class Server:
    """Redis: one core (`busy`) takes all calls that wait, works them off, and syncs once before answering."""

    env: simpy.Environment
    cost: Seconds
    busy: float = 0.0
    waiting: list[tuple[int, simpy.Event]] = field(default_factory=list)
    awake: simpy.Event | None = None

    def __post_init__(self) -> None:
        self.env.process(self._serve())

    def call(self, scripts: int = 1) -> Steps:
        """Run some scripts in one visit; returns when the answer is back."""
        done = self.env.event()
        self.waiting.append((scripts, done))
        if self.awake is not None and not self.awake.triggered:
            self.awake.succeed()
        yield done
        yield self.env.timeout(self.cost.network)

    def _serve(self) -> Steps:
        while True:
            if not self.waiting:
                self.awake = self.env.event()
                yield self.awake
            taken, self.waiting = self.waiting, []
            spent = self.cost.call * sum(scripts for scripts, _ in taken)
            self.busy += spent
            yield self.env.timeout(spent + self.cost.sync)
            for _, done in taken:
                done.succeed()


class Part:
    """Cores of one kind; `busy` adds up what they worked."""

    def __init__(self, env: simpy.Environment, cores: int, seconds: float, dice: random.Random) -> None:
        self.env, self.cores, self.dice, self.seconds = env, cores, dice, seconds
        self.slots = simpy.Resource(env, cores)
        self.busy = 0.0

    def work(self, share: float = 1.0) -> Steps:
        """Some of one job's work, on a core that the caller holds."""
        spent = share * self.seconds * max(0.1, self.dice.gauss(1, _SPREAD))
        self.busy += spent
        yield self.env.timeout(spent)


class System:
    """Everything between an upload and its result."""

    def __init__(self, cost: Seconds, workers: int, models: int, gateways: int) -> None:
        self.env, dice = simpy.Environment(), random.Random(7)
        self.dice = dice
        self.redis = Server(self.env, cost)
        self.gateway = Part(self.env, gateways, cost.gateway, dice)
        self.preprocess = Part(self.env, workers, cost.preprocess, dice)
        self.model = Part(self.env, models, cost.infer, dice)
        self.ended: list[tuple[float, float]] = []
        """(moment, seconds since its upload) of every job."""

    def job(self) -> Steps:
        """The life of one job, as docs/explanation/architecture.md tells it."""
        began = self.env.now
        with self.gateway.slots.request() as slot:
            yield slot
            yield from self.gateway.work()
            yield from self.redis.call()  # whose key it is, and whether the site keeps its rate
            yield from self.redis.call()  # record; wake-ups are rare while much waits
        with self.preprocess.slots.request() as slot:
            yield slot
            yield from self.redis.call()  # claim
            for _ in range(STEPS):
                yield from self.redis.call()  # the step it is at
                yield from self.preprocess.work(1 / STEPS)
            yield from self.redis.call()  # commit
        with self.model.slots.request() as slot:
            yield slot
            if self.dice.random() < 1 / _BATCH:
                yield from self.redis.call()  # claim, one a batch
            yield from self.model.work()
            yield from self.redis.call()  # commit
        self.ended.append((self.env.now, self.env.now - began))

    def endlessly(self) -> Steps:
        """One place of a backlog that never ends."""
        while True:
            yield from self.job()

    def arrivals(self, rate: float) -> Steps:
        """Jobs that come on their own, so many a second."""
        while True:
            yield self.env.timeout(self.dice.expovariate(rate))
            self.env.process(self.job())

    def used(self, seconds: float) -> dict[str, float]:
        """Part -> share of its time that it worked."""
        parts = {"preprocess": self.preprocess, "model": self.model, "gateway": self.gateway}
        found = {name: part.busy / part.cores / seconds for name, part in parts.items()}
        return found | {"redis": self.redis.busy / seconds}


def saturate(cost: Seconds, workers: int, *, jobs: int) -> tuple[float, dict[str, float]]:
    """Jobs a second of an endless backlog, and the use of each part."""
    system = _sized(cost, workers)
    for _ in range(3 * workers + 10):
        system.env.process(system.endlessly())
    seconds = max(20.0, jobs * cost.preprocess / workers)
    system.env.run(until=seconds)
    late = sum(moment > seconds / 2 for moment, _ in system.ended)
    return late / (seconds / 2), system.used(seconds)


def peak(cost: Seconds, rate: float, workers: int, *, seconds: float) -> tuple[list[float], dict[str, float]]:
    """Seconds to the result of the jobs that came in the second half, and the use of each part."""
    system = _sized(cost, workers)
    system.env.process(system.arrivals(rate))
    system.env.run(until=seconds)
    return [spent for moment, spent in system.ended if moment > seconds / 2], system.used(seconds)


def _sized(cost: Seconds, workers: int) -> System:
    """Models and gateways that keep up with so many workers, a fifth more than that."""
    models = max(1, -(-int(1.2 * workers * cost.infer / cost.preprocess * 100) // 100))
    gateways = max(1, -(-int(1.2 * workers * cost.gateway / cost.preprocess * 100) // 100))
    return System(cost, workers, models, gateways)


def sync_seconds(times: int = 200) -> float:
    """Median of a small write and its fsync where temporary files lie."""
    found = []
    with tempfile.TemporaryFile(buffering=0) as out:
        for _ in range(times):
            started = time.perf_counter()
            out.write(b"x" * 400)
            os.fsync(out.fileno())
            found.append(time.perf_counter() - started)
    return statistics.median(found)


def told(cost: Cost, sync: float) -> None:
    """What was measured."""
    print(f"site mode: configured sites, their keys, default quotas, but {RATE:,.0f} requests a second\n")
    print("| Redis, of one job | measured here |\n|---|---|")
    print(f"| scripts, commands in all | {cost.calls:.1f}, {cost.commands:.0f} |")
    print(f"| processor | {cost.cpu_ms:.2f} ms |")
    print(f"| memory while it waits, after its end | {cost.waiting_bytes:.0f} B, {cost.ended_bytes:.0f} B |")
    print(f"| append-only file before it is rewritten | {cost.log_bytes:.0f} B |")
    print(f"| on the cache's server | {cost.cache_calls:.0f} script, {cost.cache_bytes:.0f} B |")
    print(f"| one write to disk (fsync) | {1000 * sync:.2f} ms |\n")


def main() -> None:
    """Measure, then model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=3000, help="jobs to measure with, and least of a run")
    parser.add_argument("--gateway", type=float, default=0.047, help="core seconds of one upload")
    parser.add_argument("--preprocess", type=float, default=0.5, help="core seconds of one volume")
    parser.add_argument("--infer", type=float, default=0.43, help="core seconds of one volume")
    parser.add_argument("--network", type=float, default=0.0005, help="seconds of one round trip to Redis")
    chosen = parser.parse_args()
    redis_cost, sync = measure(chosen.jobs), sync_seconds()
    told(redis_cost, sync)
    scripts = redis_cost.calls
    call = redis_cost.cpu_ms / 1000 / scripts
    cost = Seconds(chosen.gateway, chosen.preprocess, chosen.infer, call, sync, chosen.network)
    print("| workers | jobs / s | a day | held up by | use: workers, models, gateways, Redis |")
    print("|---|---|---|---|---|")
    for workers in (1, 10, 100, 1000):
        rate, used = saturate(cost, workers, jobs=chosen.jobs)
        most = max(used, key=lambda name: used[name])
        print(f"| {workers:,} | {rate:,.1f} | {rate * 86400 / 1e6:,.2f} M | {most} | {_shares(used)} |")
    _print_day(cost, redis_cost)


def _print_day(cost: Seconds, redis_cost: Cost) -> None:
    rate = DAY / 86400 * PEAK
    print(f"\nTen million jobs a day, {rate:.0f} / s in the busiest hour:\n")
    print("| workers | use: workers, models, gateways, Redis | seconds to the result: median, 95 % |")
    print("|---|---|---|")
    for room in (1.0, 1.1, 1.4):
        workers = int(rate * cost.preprocess * room)
        spent, used = peak(cost, rate, workers, seconds=60)
        cuts = statistics.quantiles(spent, n=20)
        print(f"| {workers:,} | {_shares(used)} | {cuts[9]:.1f}, {cuts[18]:.1f} |")
    print(f"\nRecords of one day: {DAY * redis_cost.ended_bytes / 1e9:.0f} GB of memory.")
    print(f"Uploads: {rate * UPLOAD_MB * 8 / 1000:.0f} Gbit/s in the busiest hour.")


def _shares(used: dict[str, float]) -> str:
    return ", ".join(f"{100 * used[name]:.0f} %" for name in ("preprocess", "model", "gateway", "redis"))


if __name__ == "__main__":
    main()
