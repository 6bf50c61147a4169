"""Real Celery workers as subprocesses of a test, with their logs, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.torchserve import DIGEST

ROOT = Path(__file__).parents[3]
OBEDIENT = "tests.integration.workers.obedient_consumer:app"


@dataclass
class Workers:
    """Starts workers with these settings; stops what is left at the end of `running`."""

    environment: dict[str, str]
    folder: Path
    under: tuple[str, ...] = ()
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, app: str, *options: str) -> subprocess.Popen[bytes]:
        """`celery -A app worker|beat ...` in a process group of its own."""
        command = [*self.under, sys.executable, "-m", "celery", "-A", app, *options]
        if "worker" in options:
            command += ["--without-gossip", "--without-mingle", "-n", f"w{len(self.started)}@test"]
        environment = {**os.environ, "HIPPOCAMP_MODELS": DIGEST, **self.environment}
        with (self.folder / f"worker{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def log(self, number: int = 0) -> str:
        return (self.folder / f"worker{number}.log").read_text()


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The pool processes of a worker."""
    return [child.pid for child in psutil.Process(process.pid).children()]


@contextmanager
def running(environment: dict[str, str], folder: Path, *, under: tuple[str, ...] = ()) -> Iterator[Workers]:
    """Workers of one test; `under`: a command that runs each, such as `ip netns exec NAME`."""
    workers = Workers(environment, folder, under)
    try:
        yield workers
    finally:
        for process in workers.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
