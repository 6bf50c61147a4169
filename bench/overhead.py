"""What the plumbing costs: the saturated system against a bare loop of the same functions on the same cores.

`python -m bench.overhead [--volumes N] [--quick] [--check]` prints CPU seconds and volumes a minute of both,
where the CPU went, and last one line of key=value. `--check` fails above 1.05 x the CPU or below 0.95 x the
throughput.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import psutil

from deploy.local.sample import sample_volume
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import Stack

MOST_CPU, LEAST_THROUGHPUT = 1.05, 0.95
TERMINAL = {"succeeded", "failed", "canceled", "expired"}


@dataclass(frozen=True)
class Cost:
    """CPU seconds of all processes and wall seconds for `jobs` volumes."""

    jobs: int
    cpu: float
    wall: float

    @property
    def cpu_per_job(self) -> float:
        return self.cpu / self.jobs

    @property
    def per_minute(self) -> float:
        return 60 * self.jobs / self.wall


def copies(volume: Path, folder: Path, count: int) -> list[Path]:
    """The same head under `count` different digests: only the time in the gzip header differs."""
    body = bytearray(volume.read_bytes())
    made = []
    for number in range(count):
        body[4:8] = (number + 1).to_bytes(4, "little")
        made.append(folder / f"head{number:03d}.nii.gz")
        made[-1].write_bytes(body)
    return made


def bare_process(volumes: list[Path], pipe: Connection) -> None:
    """One process of the bare loop: prepare, score, nothing else; one warm-up volume before the clock."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from model_store.digest import RELEASE
    from model_store.handler import Model
    from preprocessing_service import prepare

    torch.set_num_threads(1)
    model = Model(RELEASE)

    def run(path: Path) -> None:
        model.answer(prepare(path).slices[None])

    run(volumes[0])
    pipe.send("ready")
    pipe.recv()
    before = time.process_time()
    for path in volumes:
        run(path)
    pipe.send(time.process_time() - before)


def bare(volumes: list[Path], processes: int) -> Cost:
    """All volumes through `processes` bare loops at once."""
    spawn = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for number in range(processes):
        ours, theirs = spawn.Pipe()
        workers.append(spawn.Process(target=bare_process, args=(volumes[number::processes], theirs)))
        workers[-1].start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    started = time.monotonic()
    for pipe in pipes:
        pipe.send("go")
    cpu = sum(pipe.recv() for pipe in pipes)
    wall = time.monotonic() - started
    for worker in workers:
        worker.join()
    return Cost(len(volumes), cpu, wall)


def cpu_by_service(stack: Stack) -> dict[str, float]:
    """CPU seconds each service and its living children have used."""
    used = {}
    for item in stack.remembered():
        leader = item.process()
        family = [leader, *leader.children(recursive=True)] if leader else []
        used[item.name] = sum(sum(one.cpu_times()[:2]) for one in family)
    return used


def send(http: httpx.Client, path: Path) -> str:
    """Submit one volume; its job id."""
    with path.open("rb") as body:
        headers = {"Content-Type": "application/octet-stream"}
        return str(http.post("/v1/jobs", content=body, headers=headers).raise_for_status().json()["id"])


def drain(http: httpx.Client, ids: list[str]) -> None:
    """Wait until every job has succeeded."""
    for job_id in ids:
        while (state := http.get(f"/v1/jobs/{job_id}").json()["state"]) not in TERMINAL:
            time.sleep(0.25)
        if state != "succeeded":
            raise SystemExit(f"{job_id} ended as {state}")


def saturated(
    volumes: list[Path], warm: list[Path], settings: LocalSettings
) -> tuple[Cost, dict[str, float]]:
    """All volumes through the whole system, submitted at once; cost, and CPU seconds by service."""
    stack = Stack(settings)
    stack.up()
    try:
        with httpx.Client(base_url=settings.gateway_url, timeout=120, trust_env=False) as http:
            drain(http, [send(http, path) for path in warm])
            before, started = cpu_by_service(stack), time.monotonic()
            with ThreadPoolExecutor(4) as pool:
                ids = list(pool.map(lambda path: send(http, path), volumes))
            drain(http, ids)
            wall = time.monotonic() - started
            used = {name: cpu - before[name] for name, cpu in cpu_by_service(stack).items()}
    finally:
        stack.down()
    return Cost(len(volumes), sum(used.values()), wall), used


def compare(count: int, rounds: int) -> tuple[float, float]:
    """Run both in turn and print the tables; median ratios of CPU a job and of throughput."""
    cores = len(psutil.Process().cpu_affinity() or [0])
    cpu_ratios, throughput_ratios = [], []
    with tempfile.TemporaryDirectory() as scratch:
        volumes = copies(sample_volume(), Path(scratch), count + 2 * cores)
        warm, work = volumes[: 2 * cores], volumes[2 * cores :]
        for number in range(rounds):
            alone = bare(work, cores)
            settings = LocalSettings().beside(Path(scratch) / f"run{number}")
            whole, used = saturated(work, warm, settings)
            cpu_ratios.append(whole.cpu_per_job / alone.cpu_per_job)
            throughput_ratios.append(whole.per_minute / alone.per_minute)
            report(number, alone, whole, used)
    return statistics.median(cpu_ratios), statistics.median(throughput_ratios)


def report(number: int, alone: Cost, whole: Cost, used: dict[str, float]) -> None:
    """One round as a table."""
    print(f"round {number + 1}        CPU s/job   volumes/min")
    print(f"  bare loop    {alone.cpu_per_job:9.3f}   {alone.per_minute:11.1f}")
    print(f"  whole system {whole.cpu_per_job:9.3f}   {whole.per_minute:11.1f}")
    for name, seconds in sorted(used.items(), key=lambda item: -item[1]):
        print(f"    {name:12s} {1000 * seconds / whole.jobs:9.1f} ms CPU a job")


def main() -> None:
    """Parse the command line; exit 1 when --check finds a target missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of 12 volumes")
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    count, rounds = (12, 1) if chosen.quick else (chosen.volumes, chosen.rounds)
    cpu, throughput = compare(count, rounds)
    print(f"cpu_ratio={cpu:.3f} throughput_ratio={throughput:.3f} volumes={count} rounds={rounds}")
    if chosen.check and (cpu > MOST_CPU or throughput < LEAST_THROUGHPUT):
        sys.exit(1)


if __name__ == "__main__":
    main()
