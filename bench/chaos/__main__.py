"""`python -m bench.chaos [--quick] [--only NAME] [--seed N]`: all faults, one table, exit 1 on a breach."""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path

from bench.chaos.experiments import ALL, Experiment
from bench.chaos.ledger import Inbox, Ledger, Verdict
from bench.chaos.recovery import Watch
from bench.chaos.system import system

SCALE = 8
"""The full run has this many times the jobs of the quick one."""


def run(experiment: Experiment, *, seed: int, scale: int, logs: Path | None) -> Verdict:
    """One experiment on a system of its own."""
    own_logs = logs / experiment.name if logs else None
    with system(seed, logs=own_logs, **dict(experiment.environment)) as running, Inbox() as inbox:
        ledger, over = Ledger(running, inbox), threading.Event()
        orders = [experiment.work] * (experiment.jobs * scale) + list(experiment.doomed) * scale
        running.random.shuffle(orders)
        started = time.monotonic()
        watch = Watch(running)
        fault = threading.Thread(target=experiment.fault, args=(running, over))
        watch.start()
        fault.start()
        try:
            ledger.submit_all(orders)
            ledger.drained(within=30 * scale)
        finally:
            over.set()
            fault.join()
        ledger.settle(within=90)
        seconds = time.monotonic() - started
        watch.stop()
        verdict = ledger.verdict(seconds, doomed=frozenset(experiment.doomed))
        verdict.recovery += watch.recovered
        return verdict


def row(name: str, verdict: Verdict) -> str:
    """One line of the table."""
    states = " ".join(f"{n} {state}" for state, n in sorted(verdict.states.items()))
    wrong = " ".join(f"{key}={n}" for key, n in verdict.breaches.items() if n) or "-"
    slow = f"{quantile(verdict.recovery, 50):5.1f} {quantile(verdict.recovery, 99):5.1f}"
    size = f"{verdict.accepted:>6}  {verdict.seconds:6.1f} s  {len(verdict.recovery):>4}"
    return f"{name:<13}{size} {slow}  {states:<30} {wrong}"


def quantile(values: list[float], percent: int) -> float:
    """Of a few values, without interpolation; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"one job in {SCALE}")
    parser.add_argument("--only", choices=[e.name for e in ALL])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", type=Path, help="folder that keeps the logs of every experiment")
    options = parser.parse_args()
    chosen = [e for e in ALL if options.only in (None, e.name)]
    print(
        "experiment     jobs  duration  recovered p50 p99  outcome                        breaches",
        flush=True,
    )
    totals: dict[str, int] = {}
    recovered: list[float] = []
    for experiment in chosen:
        scale = 1 if options.quick else SCALE
        verdict = run(experiment, seed=options.seed, scale=scale, logs=options.logs)
        print(row(experiment.name, verdict), flush=True)
        recovered += verdict.recovery
        for key, n in verdict.breaches.items():
            totals[key] = totals.get(key, 0) + n
    figures = " ".join(f"{key}={n}" for key, n in totals.items())
    median = statistics.median(recovered) if recovered else 0.0
    print(
        f"{figures} recovery_p50={median:.1f} recovery_p99={quantile(recovered, 99):.1f} seed={options.seed}"
    )
    return 1 if any(totals.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
