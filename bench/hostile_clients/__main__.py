"""`python -m bench.hostile_clients [--quick] [--check] [--only ROW]`: what others notice of each.

Targets: in every row another site's requests have p99 <= 5 x that of the quiet row and <= 250 ms, none fails,
health answers within 250 ms, all 200 streams are served, and memory grows by less than 150 MB.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.command import begin, conclude, options
from bench.hostile_clients.probe import Waits, probe, quantile
from bench.hostile_clients.target import ATTACKER, OTHER, SITE, Target, target
from bench.hostile_clients.wire import Address
from bench.site import Mode
from bench.volumes import tiny

QUIET = "quiet"
ROWS = (
    "300 silent", "1000 silent", "40 slow readers", "40 slow senders", "40 slow heads", "200 streams",
    "300 waits", "1 GB upload", "threads held", "health flood",
)  # fmt: skip
IN_QUICK = ("300 silent", "40 slow readers", "40 slow senders", "200 streams", "threads held")
MOST_MS, MOST_TIMES, MOST_MB = 250.0, 5.0, 150.0
MUST_SERVE = {"200 streams": 200, "1 GB upload": 1}


@dataclass(frozen=True)
class Row:
    """What another site noticed, and what it cost."""

    name: str
    waits: Waits
    grown_mb: float
    cpu: float
    served: int

    def misses(self, quiet: Waits) -> list[str]:
        """Targets that this row misses."""
        health = quantile(self.waits.health, 0.99)
        checks = {
            f"p99 {self.waits.p99:.0f} ms": self.waits.p99 <= min(MOST_MS, MOST_TIMES * quiet.p99),
            f"health {health:.0f} ms": health <= MOST_MS,
            f"{self.waits.failed} failed": not self.waits.failed,
            f"+{self.grown_mb:.0f} MB": self.grown_mb <= MOST_MB,
            f"{self.served} served": self.served >= MUST_SERVE.get(self.name, 0),
        }
        return [what for what, good in checks.items() if not good]

    def text(self, quiet: Waits) -> str:
        """A line of the table."""
        calls, health = self.waits.calls, quantile(self.waits.health, 0.99)
        return (
            f"{self.name:<16}{len(calls):>6}{quantile(calls, 0.5):>9.1f}{self.waits.p99:>9.1f}"
            f"{max(calls, default=0):>9.1f}{health:>9.1f}{self.waits.failed:>7}{self.served:>8}"
            f"{self.grown_mb:>8.0f}{self.cpu:>7.2f}  {', '.join(self.misses(quiet)) or 'good'}"
        )


@contextmanager
def attack(name: str, on: Target, job: str) -> Iterator[list[int]]:
    """Clients of one kind, in a process of their own; afterwards the list holds how many were served."""
    command = [sys.executable, "-m", f"{__package__}.attacks", name, str(on.port), on.keys[ATTACKER], job]
    served: list[int] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdin
        assert clients.stdout
        try:
            clients.stdout.readline()
            yield served
            clients.stdin.close()
            served.append(int(clients.stdout.readline().partition("=")[2] or 0))
        finally:
            clients.kill()


def row(name: str, on: Target, *, seconds: float, job: str) -> Row:
    """Probe while the clients are at it. Memory is what was most between two probes."""
    at, before, spent = Address(on.port, on.keys[OTHER]), on.memory(), on.spent()
    began, most, waits = time.monotonic(), before, Waits()
    with attack(name, on, job) as served:
        while time.monotonic() - began < seconds:
            found = probe(at, 1.0)
            waits.calls += found.calls
            waits.health += found.health
            waits.failed += found.failed
            most = max(most, on.memory())
    cpu = (on.spent() - spent) / (time.monotonic() - began)
    return Row(name, waits, most - before, cpu, served[0] if served else 0)


def submitted(on: Target) -> str:
    """A job of the attacking site, which nobody works on."""
    at, body = Address(on.port, on.keys[ATTACKER]), tiny(1)
    fields = "Content-Type: application/octet-stream", f"Content-Length: {len(body)}", "Connection: close"
    status, said = at.ask(at.head("POST", "/v1/jobs", *fields) + body)
    if status != 202:
        raise SystemExit(f"The gateway answered {status}: {said!r}")
    return said.partition(b'"id":"')[2].partition(b'"')[0].decode()


def main() -> int:
    parser = options("python -m bench.hostile_clients", __doc__, quick="fewer rows, 2 s each instead of 8")
    parser.add_argument("--only", action="append", choices=ROWS, help="may be given again")
    given = parser.parse_args()
    console, seconds = begin(Mode(SITE)), 2.0 if given.quick else 8.0
    console.print(
        f"{'row':<16}{'calls':>6}{'p50 ms':>9}{'p99 ms':>9}{'worst':>9}{'health':>9}{'failed':>7}"
        f"{'served':>8}{'MB +':>8}{'cores':>7}"
    )
    missed, worst = 0, 0.0
    with target() as on:
        job = submitted(on)
        at = Address(on.port, on.keys[OTHER])
        for key in on.keys.values():  # so that no row pays for what is done once
            probe(Address(on.port, key), 2.0)
        quiet = probe(at, seconds)
        console.print(Row(QUIET, quiet, 0, 0, 0).text(quiet))
        for name in given.only or (IN_QUICK if given.quick else ROWS):
            found = row(name, on, seconds=seconds, job=job)
            missed, worst = missed + bool(found.misses(quiet)), max(worst, found.waits.p99)
            console.print(found.text(quiet))
            time.sleep(1)
    figures = {"quiet_p99_ms": f"{quiet.p99:.1f}", "worst_p99_ms": f"{worst:.1f}", "missed": missed}
    return conclude(figures, given, passed=not missed)


if __name__ == "__main__":
    sys.exit(main())
