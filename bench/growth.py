"""What it costs to grow: more workers, the way from idle to busy, and ten thousand clients that ask at once.

`python -m bench.growth [--quick] [--check] [--plot FILE.svg]`. Stage work is sleeping, so that two cores are
enough for eight workers. A configured site sends, whose rate is raised. `--check` fails when throughput is
more than 3 % off n times that of one worker.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from bench.accounting import cpu_by_service, since
from bench.command import begin, conclude, options
from bench.control_plane.consumer import SLEEP
from bench.control_plane.jobs import submit_all
from bench.control_plane.system import ENOUGH, System, system
from bench.plots import bars
from bench.waiting import until
from deploy.local.settings import LocalSettings
from jobstore import keys

MOST_LOSS = 0.03
WORKERS = (1, 2, 4, 8)
SECONDS = 0.8
"""What one job sleeps."""


@dataclass(frozen=True)
class Growth:
    """Jobs a second of `workers`, and seconds from the first of as many submissions until all are busy."""

    workers: int
    rate: float
    busy_seconds: float


@dataclass(frozen=True)
class Storm:
    """`clients` polls, each on a connection of its own: how long, what they cost, how long each waited."""

    clients: int
    seconds: float
    errors: int
    cpu_ms: float
    median_ms: float
    p99_ms: float
    jobs_meanwhile: int


def grown(running: System, workers: int, rounds: int) -> Growth:
    """From idle to busy, then the steady rate of `rounds` jobs a worker."""
    records(running, submit_all(running, 2 * workers))
    first = records(running, submit_all(running, workers))
    busy = max(int(r["started_preprocess_ms"]) for r in first) - min(int(r["created_ms"]) for r in first)
    ends = sorted(
        int(r["finished_preprocess_ms"]) for r in records(running, submit_all(running, rounds * workers))
    )
    # Without the first and the last job of each worker: all of them are busy in between.
    counted = ends[workers - 1 : len(ends) - workers]
    return Growth(workers, (len(counted) - 1) / ((counted[-1] - counted[0]) / 1000), busy / 1000)


def records(running: System, ids: list[str]) -> list[dict[str, str]]:
    """What the job store says of these jobs once all have succeeded."""
    found: list[dict[str, str]] = []

    def all_done() -> bool:
        found[:] = [running.redis.hgetall(keys.record(job_id)) for job_id in ids]
        return all(record.get("state") == "succeeded" for record in found)

    until(all_done, "jobs to succeed", every=0.2)
    return found


async def _ask(host: str, port: int, head: str, gate: asyncio.Semaphore) -> float:
    """Seconds one client waited for its 200; NaN for anything else."""
    async with gate:
        begun = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"{head}Host: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
        except OSError:
            return float("nan")
        return time.perf_counter() - begun if answer.startswith(b"HTTP/1.1 200") else float("nan")


async def _ask_all(host: str, port: int, head: str, clients: int) -> list[float]:
    gate = asyncio.Semaphore(500)  # as many as wait at once; more would only wait in the kernel's queue
    return list(await asyncio.gather(*(_ask(host, port, head, gate) for _ in range(clients))))


def storm(running: System, clients: int) -> Storm:
    """All clients poll one queued or running job while the workers work."""
    ids = submit_all(running, 60)
    before, done, begun = cpu_by_service(running.stack), running.ended(), time.perf_counter()
    headers = "".join(f"{name}: {value}\r\n" for name, value in running.headers.items())
    head = f"GET /v1/jobs/{ids[-1]} HTTP/1.1\r\n{headers}"
    waits = asyncio.run(_ask_all("127.0.0.1", running.stack.settings.ports.gateway, head, clients))
    took = time.perf_counter() - begun
    used = since(before, cpu_by_service(running.stack))
    good = sorted(seconds for seconds in waits if seconds == seconds)
    return Storm(
        clients, took, len(waits) - len(good), 1000 * (used["gateway"] + used["redis"]) / clients,
        1000 * statistics.median(good), 1000 * good[int(0.99 * len(good))], running.ended() - done,
    )  # fmt: skip


def measure(rounds: int, clients: int) -> tuple[list[Growth], Storm]:
    """Every number of workers on a system of its own; the storm on the last."""
    found = []
    for workers in WORKERS:
        settings = replace(LocalSettings(), preprocess_processes=workers)
        with system(settings, **{SLEEP: str(SECONDS)}) as running:
            found.append(grown(running, workers, rounds))
            if workers == WORKERS[-1]:
                met = storm(running, clients)
    return found, met


def linear(found: list[Growth]) -> float:
    """Rate of the most workers over as many times the rate of one; the worst of all numbers."""
    one = found[0].rate / found[0].workers
    return min(item.rate / (one * item.workers) for item in found)


def show(found: list[Growth], met: Storm, console: Console) -> None:
    """Both tables."""
    one = found[0].rate
    table = Table("workers", "jobs/s", "of n x one", "idle to all busy, s")
    for item in found:
        share = item.rate / (one * item.workers)
        table.add_row(str(item.workers), f"{item.rate:.3f}", f"{share:.3f}", f"{item.busy_seconds:.2f}")
    console.print(table)
    table = Table(f"{met.clients:,} clients poll at once", "")
    table.add_row("seconds", f"{met.seconds:.1f}")
    table.add_row("polls/s", f"{met.clients / met.seconds:.0f}")
    table.add_row("not answered 200", str(met.errors))
    table.add_row("CPU ms a poll", f"{met.cpu_ms:.2f}")
    table.add_row("median, 99 % ms", f"{met.median_ms:.0f}, {met.p99_ms:.0f}")
    table.add_row("jobs done meanwhile", f"{met.jobs_meanwhile} ({met.jobs_meanwhile / met.seconds:.1f}/s)")
    console.print(table)


def main() -> int:
    """1 when --check finds throughput off the line."""
    given = options("bench.growth", __doc__, quick="8 jobs a worker, 2,000 clients").parse_args()
    console = begin(ENOUGH)
    found, met = measure(*((8, 2_000) if given.quick else (20, 10_000)))
    show(found, met, console)
    if given.plot:
        rows = {f"{item.workers} workers": {"jobs/s": item.rate} for item in found}
        bars(given.plot, rows, title=f"Jobs of {SECONDS} s", unit="jobs/s")
    figures = {
        "linear": f"{linear(found):.3f}",
        "idle_to_busy_s": f"{max(item.busy_seconds for item in found):.2f}",
        "storm_clients": met.clients,
        "storm_errors": met.errors,
        "poll_cpu_ms": f"{met.cpu_ms:.2f}",
        "poll_p99_ms": f"{met.p99_ms:.0f}",
    }
    return conclude(figures, given, passed=linear(found) >= 1 - MOST_LOSS and not met.errors)


if __name__ == "__main__":
    sys.exit(main())
