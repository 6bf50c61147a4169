"""`python -m bench.chaos [--quick] [--check] [--only NAME] [--seed N]`: all faults, one table."""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from bench.chaos.experiments import ALL, Experiment
from bench.chaos.inbox import Inbox
from bench.chaos.ledger import Ledger, Verdict
from bench.chaos.recovery import Watch
from bench.chaos.surroundings import system
from bench.chaos.system import System

MOST_RECOVERY = 30.0
"""Seconds from a worker's death to the next claim of its job, 99th percentile."""


def run(experiment: Experiment, *, seed: int, quick: bool, logs: Path | None) -> Verdict:
    """One experiment on a system of its own."""
    own_logs = logs / experiment.name.replace(" ", "_") if logs else None
    with ExitStack() as open_:
        running = open_.enter_context(system(seed, experiment.about, full=not quick, logs=own_logs))
        inbox = open_.enter_context(Inbox())
        if experiment.around:
            open_.enter_context(experiment.around(running))
        return _observed(experiment, running, Ledger(running, inbox), quick=quick)


def _observed(experiment: Experiment, running: System, ledger: Ledger, *, quick: bool) -> Verdict:
    """Fault and work side by side, until the last job has ended; then the books are compared."""
    orders, over, watch = experiment.orders(quick=quick), threading.Event(), Watch(running)
    running.random.shuffle(orders)
    fault = threading.Thread(target=_inflict, args=(experiment, running, over))
    started = time.monotonic()
    watch.start()
    fault.start()
    try:
        ledger.submit_all(orders, gap_seconds=experiment.gap_seconds)
        ledger.drained(within=len(orders))
    finally:
        over.set()
        fault.join()
    ledger.settle(within=120 if quick else 600)
    seconds = time.monotonic() - started
    watch.stop()
    verdict = ledger.verdict(seconds, doomed=frozenset(experiment.doomed))
    verdict.recovery += watch.recovered
    return verdict


def _inflict(experiment: Experiment, running: System, over: threading.Event) -> None:
    """A fault that breaks down itself is no test."""
    running.breaches["fault_broke"] = 1
    experiment.fault(running, over)
    running.breaches["fault_broke"] = 0


def row(name: str, verdict: Verdict) -> str:
    """One line of the table."""
    states = " ".join(f"{n} {state}" for state, n in sorted(verdict.states.items()))
    wrong = " ".join(f"{key}={n}" for key, n in verdict.breaches.items() if n) or "-"
    slow = f"{quantile(verdict.recovery, 50):5.1f} {quantile(verdict.recovery, 99):5.1f}"
    size = f"{verdict.accepted:>6}  {verdict.seconds:6.1f} s  {len(verdict.recovery):>4}"
    return f"{name:<15}{size} {slow}  {states:<30} {wrong}  {verdict.note}".rstrip()


def quantile(values: list[float], percent: int) -> float:
    """Of a few values, without interpolation; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about 100 jobs an experiment instead of 1,000")
    parser.add_argument("--check", action="store_true", help="exit 1 on a breach, or when recovery is slow")
    parser.add_argument("--only", action="append", choices=[e.name for e in ALL], help="may be given again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", type=Path, help="folder that keeps the logs of every experiment")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the system under attack is taken down
    chosen = [e for e in ALL if not options.only or e.name in options.only]
    print(
        "experiment       jobs  duration  recovered p50 p99  outcome                        breaches",
        flush=True,
    )
    totals: dict[str, int] = {}
    recovered: list[float] = []
    for experiment in chosen:
        verdict = run(experiment, seed=options.seed, quick=options.quick, logs=options.logs)
        print(row(experiment.name, verdict), flush=True)
        recovered += verdict.recovery
        for key, n in verdict.breaches.items():
            totals[key] = totals.get(key, 0) + n
    figures = " ".join(f"{key}={n}" for key, n in totals.items())
    median = statistics.median(recovered) if recovered else 0.0
    print(
        f"{figures} recovery_p50={median:.1f} recovery_p99={quantile(recovered, 99):.1f} seed={options.seed}"
    )
    slow = quantile(recovered, 99) > MOST_RECOVERY
    if slow:
        print(f"recovery took longer than {MOST_RECOVERY:.0f} s")
    return int(options.check and (slow or any(totals.values())))


if __name__ == "__main__":
    sys.exit(main())
