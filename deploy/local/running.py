"""Processes of a local system as they are remembered between two commands, and how they are stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "HIPPOCAMP_PART_OF"
"""Names, in the environment of every process of a local system, the folder it belongs to.

Nobody sets it by hand: HIPPOCAMP_RUN, which says where the folder is, stands in the callers' environment too.
"""


@dataclass(frozen=True)
class Running:
    """A started service as remembered: the start time tells it from a later process with its pid."""

    name: str
    pid: int
    created: float
    stop_seconds: float

    def process(self) -> psutil.Process | None:
        """The living process, None when it has ended."""
        with suppress(psutil.Error):
            found = psutil.Process(self.pid)
            ours = abs(found.create_time() - self.created) < 1
            if ours and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None

    def stop(self, mark: str) -> None:
        """SIGTERM to the leader, which passes it on as it sees fit; then SIGKILL to the rest of its group.

        A group is only touched when its processes carry this system's mark: ids come back after a restart.
        """
        leader = self.process()
        if leader is not None:
            with suppress(psutil.Error):
                leader.terminate()
                leader.wait(self.stop_seconds)
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getpgid(process.pid) == self.pid and process.environ().get(MARK) == mark:
                    process.send_signal(signal.SIGKILL)


def stop_marked(mark: str, *, seconds: float = 5) -> None:
    """End every process with this system's mark, also those that no file remembers: SIGTERM, then SIGKILL."""
    found = [one for one in psutil.process_iter() if one.pid != os.getpid() and _carries(one, mark)]
    for process in found:
        with suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(found, timeout=seconds)[1]:
        with suppress(psutil.Error):
            process.kill()


def reconcilers(mark: str) -> list[psutil.Process]:
    """Processes that start again what ends in this system."""
    return [one for one in psutil.process_iter() if _carries(one, mark) and "keep" in _words(one)]


def _carries(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error, OSError):
        return bool(process.environ().get(MARK) == mark)
    return False


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def read(memory: Path) -> list[Running]:
    """What a file remembers, in start order; [] when there is none, or none that can be read."""
    try:
        return [Running(**item) for item in json.loads(memory.read_text())]
    except (OSError, ValueError, TypeError):
        return []


def write(memory: Path, items: Sequence[Running]) -> None:
    """Whole or not at all: two commands may look at it at once. OSError when the disk is full."""
    part = memory.with_suffix(".part")
    part.write_text(json.dumps([vars(item) for item in items]))
    part.replace(memory)
