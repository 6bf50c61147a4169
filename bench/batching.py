"""Batches at the model server: how many volumes travel together, and images a second against a bare loop.

`python -m bench.batching [--volumes N] [--quick] [--check] [--plot FILE.svg]`. The infer workers meet a full
line of a configured site; then one job at a time. `--check` fails below 0.95 x the best batch of a bare loop
of the network on as many cores, or when one job alone takes more than 1.02 x as long as in the loop.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.command import begin, conclude, options
from bench.control_plane import system as empty
from bench.control_plane.jobs import submit_all
from bench.plots import bars
from bench.waiting import until
from contracts.stack import HEIGHT, SLICES, WIDTH
from deploy.local import services
from deploy.local.settings import LocalSettings
from jobstore import keys
from workers.inference.model_server import ModelServer
from workers.inference.prediction import PredictRequest, VolumeInput

LEAST_RATE, MOST_ALONE = 0.95, 1.02
BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Batching:
    """Images a second by batch of the loop and of the server; seconds of one volume alone; batch sizes."""

    loop: dict[int, float]
    served: float
    loop_alone: float
    served_alone: float
    sizes: Counter[int]

    @property
    def rate_ratio(self) -> float:
        """Served over the loop's best batch."""
        return self.served / max(self.loop.values())

    @property
    def alone_ratio(self) -> float:
        """Median seconds of one volume: served over the loop."""
        return self.served_alone / self.loop_alone

    @property
    def passed(self) -> bool:
        """Both targets."""
        return self.rate_ratio >= LEAST_RATE and self.alone_ratio <= MOST_ALONE


def heads(count: int) -> np.ndarray:
    """(count, 32, 208, 176) uint8 of noise: the network's time does not depend on what it sees."""
    return np.random.default_rng(7).integers(0, 255, (count, SLICES, HEIGHT, WIDTH), dtype=np.uint8)


def loop(volumes: int, threads: int, pipe: Connection) -> None:
    """The bare loop, in a process of its own: images a second by batch, median seconds of one volume."""
    from model_store.release.digest import RELEASE
    from model_store.served.model import Model, keep_memory

    keep_memory()
    model, rates = Model(RELEASE, threads=threads), {}
    for batch in BATCHES:
        stacks = heads(batch)
        model.answer(stacks)
        rounds, begun = max(1, volumes // batch), time.perf_counter()
        for _ in range(rounds):
            model.answer(stacks)
        rates[batch] = rounds * batch * SLICES / (time.perf_counter() - begun)
    one, alone = heads(1), []
    for _ in range(volumes):
        begun = time.perf_counter()
        model.answer(one)
        alone.append(time.perf_counter() - begun)
    pipe.send((rates, statistics.median(alone)))


def bare(volumes: int, threads: int) -> tuple[dict[int, float], float]:
    """Run the loop and wait for it."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as deploy/local/services.py starts the server
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=loop, args=(volumes, threads, theirs))
    process.start()
    theirs.close()  # so that a child that dies is an end of file, not a wait for ever
    found: tuple[dict[int, float], float] = ours.recv()
    process.join()
    return found


def backlog(system: empty.System, volumes: int) -> tuple[float, Counter[int], str]:
    """Images a second while the infer workers empty a full line, the sizes of their batches, and a stack."""
    leader = next(i.process() for i in system.stack.remembered() if i.name == "infer")
    leader.terminate()  # type: ignore[union-attr]
    leader.wait(30)  # type: ignore[union-attr]
    ids = submit_all(system, volumes)
    until(lambda: int(system.redis.hget(keys.DEPTH, "infer") or 0) >= volumes, "volumes to score")
    wanted = system.ended() + volumes
    system.stack.restart("infer")
    until(lambda: system.ended() >= wanted, "the backlog's end")
    records = [system.redis.hgetall(keys.record(job_id)) for job_id in ids]
    took = max(int(r["finished_ms"]) for r in records) - min(int(r["started_infer_ms"]) for r in records)
    together = Counter((r["worker"], r["started_infer_ms"]) for r in records)
    return volumes * SLICES / (took / 1000), Counter(together.values()), records[0]["stack_blob"]


def alone(system: empty.System, volumes: int, stack: str) -> float:
    """Median seconds of one stored volume at the otherwise idle server, asked for as the workers do."""
    environment = system.stack.settings.environment()
    token = Path(environment["HIPPOCAMP_MODEL_TOKEN_FILE"])
    server = ModelServer(environment["HIPPOCAMP_MODEL_SERVER"], timeout_seconds=60, token_file=token)
    found = []
    for _ in range(volumes + 2):
        begun = time.perf_counter()
        server.predict(PredictRequest([VolumeInput(stack)]))
        found.append(time.perf_counter() - begun)
    server.close()
    return statistics.median(found[2:])


def measure(volumes: int) -> Batching:
    """The loop first, then the same on the running system."""
    settings = LocalSettings()
    rates, lone = bare(volumes, settings.model_threads or len(os.sched_getaffinity(0)))
    real_network = [services.model_server if make is empty.model_server else make for make in empty.SERVICES]
    with empty.system(settings, services=real_network) as running:
        served, sizes, stack = backlog(running, volumes)
        single = alone(running, volumes, stack)
    return Batching(rates, served, lone, single, sizes)


def show(found: Batching, console: Console) -> None:
    """Both tables."""
    table = Table("batch", "images/s, bare loop", "images/s, served", "batches served")
    for batch, rate in found.loop.items():
        table.add_row(str(batch), f"{rate:.1f}", "", str(found.sizes.get(batch, 0)))
    table.add_row("as they came", "", f"{found.served:.1f}", str(found.sizes.total()))
    console.print(table)
    table = Table("one volume alone", "median ms")
    table.add_row("bare loop", f"{1000 * found.loop_alone:.1f}")
    table.add_row("served", f"{1000 * found.served_alone:.1f}")
    console.print(table)


def main() -> int:
    """1 when --check finds a target missed."""
    parser = options("bench.batching", __doc__, quick="24 volumes")
    parser.add_argument("--volumes", type=int, default=80)
    given = parser.parse_args()
    console = begin(empty.ENOUGH)
    found = measure(24 if given.quick else given.volumes)
    show(found, console)
    if given.plot:
        rows = {f"batch {batch}, loop": {"images/s": rate} for batch, rate in found.loop.items()}
        bars(given.plot, rows | {"served": {"images/s": found.served}}, title="int8 slices", unit="images/s")
    mean = sum(k * n for k, n in found.sizes.items()) / found.sizes.total()
    figures = {
        "rate_ratio": f"{found.rate_ratio:.3f}",
        "alone_ratio": f"{found.alone_ratio:.3f}",
        "largest_batch": max(found.sizes),
        "mean_batch": f"{mean:.2f}",
    }
    return conclude(figures, given, passed=found.passed)


if __name__ == "__main__":
    sys.exit(main())
