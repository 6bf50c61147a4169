"""Hippocamp beside plain Celery, LitServe, BentoML, Ray Serve and a synchronous Flask application.

`python -m bench.peers [--only NAME ...] [--seconds N] [--save FILE] [--quick] [--check] [--plot FILE.svg]`.
The same scans arrive at each candidate at the same times: a burst, then 50, 80, 95 and 150 % of what a bare
loop of the same functions does on these cores. Ours gets them from a configured site with its key. `--save`
adds this run's candidates to a file, so that long measurements can be made in pieces. `--check` fails unless
ours is first in throughput, and in the 99th percentile at every level that all hold, and loses nothing at
overload.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.machine import describe, stop_cleanly
from bench.overhead import bare
from bench.peers.candidates import MODE, PEERS, running
from bench.peers.load import Level, arrivals, play
from bench.plots import lines
from bench.volumes import copies
from deploy.local.sample import sample_volume

LEVELS = {"50 %": 0.5, "80 %": 0.8, "95 %": 0.95, "150 %": 1.5}
HELD_SECONDS = 20.0
"""A level is held when every volume is answered and the slowest in this time."""
Figures = dict[str, dict[str, float]]


def one(name: str, capacity: float, seconds: float, burst: int) -> Figures:
    """All levels and the burst of one candidate: level -> figures."""
    found: Figures = {}
    with tempfile.TemporaryDirectory(prefix="hippocamp-peers-") as folder:
        scratch = Path(folder)
        with running(name, scratch) as candidate:
            first = 0
            warm = copies(sample_volume(), scratch, 4)
            play(candidate, "warm", [0.0, 0.0, 0.0, 0.0], warm)
            plans = {label: arrivals(capacity * share, seconds, 7) for label, share in LEVELS.items()}
            for label, times in {"burst": [0.0] * burst, **plans}.items():
                volumes = copies(sample_volume(), scratch, len(times), first=100 + first)
                first += len(times)
                found[label] = figures(play(candidate, label, times, volumes))
                for path in volumes:
                    path.unlink()
            found["burst"]["memory_mb"] = candidate.memory / 1e6
    return found


def figures(level: Level) -> dict[str, float]:
    """What is kept of a level."""
    for outcome in [one for one in level.outcomes if one.error][:2]:
        print(f"  {level.name}: {outcome.error}", file=sys.stderr)
    return {
        "sent": len(level.outcomes), "answered": len(level.latencies), "refused": level.refused,
        "errors": level.errors, "seconds": level.seconds, "p50": level.percentile(0.5),
        "p95": level.percentile(0.95), "p99": level.percentile(0.99),
        "per_minute": 60 * len(level.latencies) / level.seconds,
    }  # fmt: skip


def holds(level: dict[str, float]) -> bool:
    """Whether every volume was answered soon enough."""
    return level["answered"] == level["sent"] and level["p99"] <= HELD_SECONDS


def first_everywhere(found: dict[str, Figures]) -> list[str]:
    """What ours is not first in; [] when all targets are met."""
    ours = found["hippocamp"]
    missed = [f"{name} answered nothing" for name, levels in found.items() if not levels["burst"]["answered"]]
    others = {name: levels for name, levels in found.items() if name != "hippocamp"}
    if any(levels["burst"]["per_minute"] > ours["burst"]["per_minute"] for levels in others.values()):
        missed.append("throughput")
    for label in LEVELS:
        if label != "150 %" and all(holds(levels[label]) for levels in found.values()):
            missed += [
                f"p99 at {label}: {name}"
                for name, levels in others.items()
                if levels[label]["p99"] < ours[label]["p99"]
            ]
    if ours["150 %"]["errors"]:
        missed.append("lost at overload")
    return missed


def show(found: dict[str, Figures], console: Console) -> None:
    """One table a level."""
    for label in ("burst", *LEVELS):
        table = Table(
            label,
            "volumes/min",
            "p50 s",
            "p95 s",
            "p99 s",
            "sent",
            "answered",
            "refused",
            "errors",
            "drained s",
        )
        for name, levels in found.items():
            level = levels[label]
            row = [f"{level[key]:.2f}" for key in ("per_minute", "p50", "p95", "p99")]
            row += [f"{level[key]:.0f}" for key in ("sent", "answered", "refused", "errors")]
            table.add_row(name, *row, f"{level['seconds']:.1f}")
        console.print(table)
    table = Table("memory, PSS", "MB")
    for name, levels in found.items():
        table.add_row(name, f"{levels['burst']['memory_mb']:.0f}")
    console.print(table)


def known(path: Path | None) -> dict[str, Figures]:
    """What earlier pieces of the same measurement saved."""
    return dict(json.loads(path.read_text())) if path and path.exists() else {}


def main() -> int:
    """1 when --check finds ours behind."""
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    parser.add_argument("--only", nargs="*", default=["hippocamp", *PEERS])
    parser.add_argument("--seconds", type=float, default=60.0, help="of arrivals at each level")
    parser.add_argument("--burst", type=int, default=24)
    parser.add_argument("--capacity", type=float, help="volumes a second of the bare loop, when known")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--quick", action="store_true", help="ours, Celery and Flask, 4 s a level")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    stop_cleanly()
    names = ["hippocamp", "celery", "flask"] if given.quick else given.only
    seconds, burst = (4.0, 8) if given.quick else (given.seconds, given.burst)
    console = Console(width=130, highlight=False, soft_wrap=True)
    console.print(json.dumps(describe()))
    console.print(f"hippocamp: {MODE}")
    capacity = given.capacity or measured_capacity()
    console.print(f"a bare loop of the same functions does {60 * capacity:.1f} volumes a minute")
    found = known(given.save)
    for name in names:
        found[name] = one(name, capacity, seconds, burst)
        if given.save:
            given.save.write_text(json.dumps(found, indent=1))
    show(found, console)
    return conclude(found, given)


def measured_capacity() -> float:
    """Volumes a second of the bare loop."""
    import psutil

    cores = len(psutil.Process().cpu_affinity() or [0])
    with tempfile.TemporaryDirectory() as scratch:
        return bare(copies(sample_volume(), Path(scratch), 8 * cores), cores).per_minute / 60


def conclude(found: dict[str, Figures], given: argparse.Namespace) -> int:
    """The picture and the last line."""
    if given.plot:
        rows = {name: {label: levels[label]["p99"] for label in LEVELS} for name, levels in found.items()}
        lines(given.plot, rows, title="99th percentile by load (100 % = bare loop)", unit="seconds")
    missed = (
        first_everywhere(found) if "hippocamp" in found and len(found) > 1 else ["nobody to compare with"]
    )
    ours = found.get("hippocamp", {}).get("burst", {}).get("per_minute", 0.0)
    best = max(
        (levels["burst"]["per_minute"] for n, levels in found.items() if n != "hippocamp"), default=0.0
    )
    print(
        f"candidates={len(found)} per_minute={ours:.1f} best_peer_per_minute={best:.1f}"
        f" missed={','.join(missed).replace(' ', '_') or 'none'} passed={'no' if missed else 'yes'}"
    )
    return 1 if given.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
