"""What the plumbing costs: the saturated system against a bare loop of the same functions on the same cores.

`python -m bench.overhead [--volumes N] [--dicom] [--open] [--quick] [--check]` prints CPU seconds and volumes
a minute of both, where the CPU went, and last one line of key=value. `--check` fails above 1.05 x the CPU or
below 0.95 x the throughput. The scans come from a site with a key and default quotas; `--open` compares.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from bench.accounting import cpu_by_service, since
from bench.command import begin, conclude, options
from bench.peers.functions import SINGLE
from bench.plots import bars
from bench.scans import dicom, nifti, scans
from bench.site import OPEN, Mode, hospital, politely
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem

MOST_CPU, LEAST_THROUGHPUT = 1.05, 0.95
CORES = len(psutil.Process().cpu_affinity() or [0])
TERMINAL = {"succeeded", "failed", "canceled", "expired"}


@dataclass(frozen=True)
class Cost:
    """CPU seconds of all processes and wall seconds for `jobs` volumes; parts: where the CPU went."""

    jobs: int
    cpu: float
    wall: float
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_per_job(self) -> float:
        return self.cpu / self.jobs

    @property
    def per_minute(self) -> float:
        return 60 * self.jobs / self.wall


def bare_process(volumes: list[Path], pipe: Connection) -> None:
    """One process of the bare loop: prepare, score, nothing else; two warm-up volumes before the clock.

    It keeps its memory as the services do, or the comparison would flatter them by a tenth.
    """
    from model_store.release.digest import RELEASE
    from model_store.served.model import Model, keep_memory
    from preprocessing_service import prepare

    keep_memory()
    model = Model(RELEASE)
    steps: dict[str, float] = {}

    def run(path: Path) -> None:
        marks: list[tuple[str, float]] = []

        def mark(step: str) -> None:
            marks.append((step, time.process_time()))

        # The sheet is drawn, as the service has it drawn.
        stack = prepare(path, on_step=mark, on_sheet=len)
        mark("network")
        model.answer(stack.slices[None])
        mark("end")
        for (step, begun), (_, ended) in itertools.pairwise(marks):
            steps[step] = steps.get(step, 0.0) + ended - begun

    run(volumes[0])
    run(volumes[0])
    steps.clear()
    pipe.send("ready")
    pipe.recv()
    before = time.process_time()
    for path in volumes:
        run(path)
    pipe.send((time.process_time() - before, steps))


def bare(volumes: list[Path], processes: int) -> Cost:
    """All volumes through `processes` bare loops at once."""
    spawn = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    with patch.dict(os.environ, SINGLE):  # read when numpy is imported, which is before a child's first line
        for number in range(processes):
            ours, theirs = spawn.Pipe()
            workers.append(spawn.Process(target=bare_process, args=(volumes[number::processes], theirs)))
            workers[-1].start()
            theirs.close()  # so that a process that dies is an end of file, not a wait for ever
            pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    started = time.monotonic()
    for pipe in pipes:
        pipe.send("go")
    told = [pipe.recv() for pipe in pipes]
    wall = time.monotonic() - started
    for worker in workers:
        worker.join()
    steps = {name: sum(each[name] for _, each in told) for name in told[0][1]}
    return Cost(len(volumes), sum(cpu for cpu, _ in told), wall, steps)


def send(http: httpx.Client, path: Path) -> str:
    """Submit one volume; its job id."""
    body, headers = path.read_bytes(), {"Content-Type": "application/octet-stream"}
    answer = politely(lambda: http.post("/v1/jobs", content=body, headers=headers))
    return str(answer.raise_for_status().json()["id"])


def read(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job as it is now."""
    return dict(politely(lambda: http.get(f"/v1/jobs/{job_id}")).raise_for_status().json())


def drain(http: httpx.Client, ids: Iterable[str]) -> float:
    """Wait until every job has succeeded; Unix time at which the last one had."""
    last = 0.0
    for job_id in ids:
        while (job := read(http, job_id))["state"] not in TERMINAL:
            time.sleep(0.25)
        if job["state"] != "succeeded":
            raise SystemExit(f"{job_id} ended as {job['state']}")
        last = max(last, datetime.fromisoformat(job["finished_at"]).timestamp())
    return last


def saturated(volumes: list[Path], warm: list[Path], *, settings: LocalSettings, mode: Mode) -> Cost:
    """All volumes through the whole system, submitted at once; parts are its services."""
    stack = LocalSystem(settings)
    stack.up()
    try:
        door = mode.enter(settings)
        with httpx.Client(base_url=door.url, headers=door.headers, timeout=120, trust_env=False) as http:
            drain(http, [send(http, path) for path in warm])
            before, started = cpu_by_service(stack), time.time()
            with ThreadPoolExecutor(4) as pool:
                ids = list(pool.map(lambda path: send(http, path), volumes))
            wall = drain(http, ids) - started
            used = since(before, cpu_by_service(stack))
    finally:
        stack.down()
    return Cost(len(volumes), sum(used.values()), wall, used)


def compare(volumes: list[Path], rounds: int, *, mode: Mode, console: Console) -> list[tuple[Cost, Cost]]:
    """Bare loop and whole system in turn."""
    found, warm, work = [], volumes[: 2 * CORES], volumes[2 * CORES :]
    for number in range(rounds):
        alone = bare(work, CORES)
        with tempfile.TemporaryDirectory() as folder:
            settings = LocalSettings().beside(Path(folder))
            found.append((alone, saturated(work, warm, settings=settings, mode=mode)))
        report(number, *found[-1], console)
    return found


def report(number: int, alone: Cost, whole: Cost, console: Console) -> None:
    """One round as a table: where each millisecond goes."""
    table = Table(f"round {number + 1}", "CPU ms a job", "volumes/min")
    for title, cost in (("bare loop", alone), ("whole system", whole)):
        table.add_row(f"[bold]{title}", f"[bold]{1000 * cost.cpu_per_job:.1f}", f"{cost.per_minute:.1f}")
        for name, seconds in sorted(cost.parts.items(), key=lambda item: -item[1]):
            table.add_row(f"  {name}", f"{1000 * seconds / cost.jobs:.1f}")
    console.print(table)


def main() -> int:
    """1 when --check finds a target missed."""
    parser = options("bench.overhead", __doc__, quick="one round of 12 volumes")
    parser.add_argument("--volumes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dicom", action="store_true", help="the same scans as zips of DICOM images")
    parser.add_argument("--open", action="store_true", help="without site, key and quotas, for comparison")
    given = parser.parse_args()
    mode = OPEN if given.open else hospital()
    console = begin(mode)
    count, rounds = (12, 1) if given.quick else (given.volumes, given.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        work = scans(Path(scratch), count + 2 * CORES, write=dicom if given.dicom else nifti)
        found = compare(work, rounds, mode=mode, console=console)
    cpu = statistics.median(whole.cpu_per_job / alone.cpu_per_job for alone, whole in found)
    throughput = statistics.median(whole.per_minute / alone.per_minute for alone, whole in found)
    if given.plot:
        picture(given.plot, *found[-1])
    figures = {
        "cpu_ratio": f"{cpu:.3f}",
        "throughput_ratio": f"{throughput:.3f}",
        "volumes": count,
        "rounds": rounds,
    }
    return conclude(figures, given, passed=cpu <= MOST_CPU and throughput >= LEAST_THROUGHPUT)


def picture(path: Path, alone: Cost, whole: Cost) -> None:
    """The last round as two bars."""
    rows = {
        title: {name: 1000 * seconds / cost.jobs for name, seconds in cost.parts.items()}
        for title, cost in (("bare loop", alone), ("whole system", whole))
    }
    bars(path, rows, title="CPU a job, one head", unit="ms")


if __name__ == "__main__":
    sys.exit(main())
