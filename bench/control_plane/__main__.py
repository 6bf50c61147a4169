"""What a job costs besides its pixels: CPU, Redis traffic, uploads, polls, cache hits and events.

`python -m bench.control_plane [--jobs N] [--open] [--quick] [--check] [--plot FILE.svg]`. A configured site
sends, whose rate and places are raised; `--open` shows what keys and quotas cost. `--check` fails above 10 ms
CPU a job, scenes more than 10 % apart, reads below half of bare Flask, or when an upload takes memory.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.table import Table

from bench.command import begin, conclude, options
from bench.control_plane.jobs import JobCost, cost, fill, run
from bench.control_plane.reads import _SAME, ReadCost, costs
from bench.control_plane.system import ENOUGH, System, system
from bench.control_plane.uploads import UploadCost, scan_cost
from bench.control_plane.uploads import cost as upload_cost
from bench.plots import bars
from bench.scans import dicom, nifti
from bench.site import OPEN, Mode
from bench.volumes import tiny

MOST_MS, MOST_SPREAD, LEAST_READS, MOST_GROWN = 10.0, 0.10, 0.5, 64 << 20
SCENES = [(0, 1), (1_000, 1), (1_000, 10), (100_000, 1), (100_000, 1_000)]
QUICK = [(0, 1), (10_000, 1_000)]
SIZES = [(1_000_000, 40), (12_000_000, 12), (100_000_000, 2), (1_000_000_000, 1)]


def finished(system: System) -> str:
    """A job that has succeeded, of the volume that will be sent again."""
    with httpx.Client(base_url=system.url, headers=system.headers, timeout=60, trust_env=False) as http:
        headers = {"Content-Type": "application/octet-stream", "Prefer": "wait=30"}
        answer = http.post("/v1/jobs", content=tiny(_SAME), headers=headers).raise_for_status().json()
    if answer["state"] != "succeeded":
        raise SystemExit(f"the job ended as {answer['state']}")
    return str(answer["id"])


@dataclass(frozen=True)
class Plan:
    """scenes: (jobs that wait, sites). sizes: (bytes of an upload, how many). scans: uploads of each kind."""

    jobs: int
    scenes: list[tuple[int, int]]
    sizes: list[tuple[int, int]]
    scans: int
    reads: int


def measure(plan: Plan, mode: Mode) -> Results:
    """Every scene on a fresh system; reads and uploads on the first."""
    found = Results([], [], [])
    for waiting, sites in plan.scenes:
        with system(mode=mode) as running:
            if not found.jobs:
                found.reads = costs(running, finished(running), plan.reads)
                found.uploads = [scan_cost(running, write, plan.scans) for write in (nifti, dicom)]
                found.uploads += [upload_cost(running, *size) for size in plan.sizes]
                run(running, 20)
            fill(running, waiting, sites)
            found.jobs.append(cost(running, plan.jobs, waiting=waiting, sites=sites))
        sys.stderr.write(f"{waiting} waiting, {sites} sites: {found.jobs[-1].total_ms:.2f} ms CPU a job\n")
    return found


class Results:
    """What the three parts found."""

    def __init__(self, jobs: list[JobCost], reads: list[ReadCost], uploads: list[UploadCost]) -> None:
        self.jobs, self.reads, self.uploads = jobs, reads, uploads

    @property
    def worst_ms(self) -> float:
        """Most CPU a job of all scenes."""
        return max(one.total_ms for one in self.jobs)

    @property
    def spread(self) -> float:
        """(largest - smallest) / smallest over the scenes."""
        totals = [one.total_ms for one in self.jobs]
        return (max(totals) - min(totals)) / min(totals)

    @property
    def passed(self) -> bool:
        """All targets."""
        return (
            self.worst_ms <= MOST_MS
            and self.spread <= MOST_SPREAD
            and min(one.ratio for one in self.reads) >= LEAST_READS
            and max(one.grown for one in self.uploads) <= MOST_GROWN
        )


def show(found: Results, console: Console) -> None:
    """Three tables."""
    names = sorted(found.jobs[0].cpu_ms, key=lambda name: -found.jobs[0].cpu_ms[name])
    about = [f"{one.waiting:,} waiting, {one.sites:,} sites" for one in found.jobs]
    table = Table("", *about, title="CPU ms a job, by service; traffic with Redis a job")
    for name in names:
        table.add_row(name, *(f"{one.cpu_ms[name]:.2f}" for one in found.jobs))
    table.add_row("[bold]all", *(f"[bold]{one.total_ms:.2f}" for one in found.jobs))
    table.add_row("jobs/s", *(f"{one.jobs / one.seconds:.0f}" for one in found.jobs))
    for label, field in (
        ("round trips", "round_trips"),
        ("commands", "commands"),
        ("bytes", "network_bytes"),
    ):
        table.add_row(f"Redis {label}", *(f"{getattr(one, field):,.1f}" for one in found.jobs))
    table.add_row("bytes in its log", *(f"{one.log_bytes:,.0f}" for one in found.jobs))
    console.print(table)
    table = Table("upload, bytes", "MB/s a core", "copy + SHA-256", "ratio", "memory grew, MB")
    for up in found.uploads:
        ratio, grown = f"{up.rate / up.bare_rate:.2f}", f"{up.grown / 1e6:.0f}"
        table.add_row(f"{up.kind} {up.size:,}", f"{up.rate:.0f}", f"{up.bare_rate:.0f}", ratio, grown)
    console.print(table)
    table = Table("", "a second and core", "bare Flask", "ratio")
    for one in found.reads:
        table.add_row(one.name, f"{one.rate:.0f}", f"{one.bare_rate:.0f}", f"{one.ratio:.2f}")
    console.print(table)


def main() -> int:
    """1 when --check finds a target missed."""
    parser = options("bench.control_plane", __doc__, quick="fewer jobs, shallower lines, smaller uploads")
    parser.add_argument("--jobs", type=int, default=600)
    parser.add_argument("--open", action="store_true", help="without site, key and quotas, for comparison")
    given = parser.parse_args()
    mode = OPEN if given.open else ENOUGH
    console = begin(mode)
    plan = Plan(given.jobs, SCENES, SIZES, scans=12, reads=2000)
    found = measure(Plan(200, QUICK, SIZES[:2], scans=4, reads=300) if given.quick else plan, mode)
    show(found, console)
    if given.plot:
        rows = {f"{one.waiting:,} waiting\n{one.sites:,} sites": one.cpu_ms for one in found.jobs}
        bars(given.plot, rows, title="CPU a job without its pixels", unit="ms")
    return conclude(figures(found), given, passed=found.passed)


def figures(found: Results) -> dict[str, str]:
    """What the last line tells."""
    last = found.uploads[-1]
    return {
        "cpu_ms": f"{found.worst_ms:.2f}",
        "spread": f"{found.spread:.3f}",
        **{f"{one.name.replace(' ', '_')}_ratio": f"{one.ratio:.2f}" for one in found.reads},
        "upload_ratio": f"{last.rate / last.bare_rate:.2f}",
        "upload_grown_mb": f"{max(one.grown for one in found.uploads) / 1e6:.0f}",
    }


if __name__ == "__main__":
    sys.exit(main())
