"""`python -m deploy.local keep`: starts again what ended, as compose and Kubernetes do elsewhere.

`up` starts it beside the services, `down` stops it before them, `status` shows what it did.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local import running
from deploy.local.log_rotation import rotate
from deploy.local.running import MARK, Running
from deploy.local.settings import ROOT, LocalSettings
from deploy.local.supervisor import LocalSystem, StartFailed
from runtime.disk_space import measure
from runtime.logs import configure_logging

_log = logging.getLogger("hippocamp.reconciler")

LOOK_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds from a start to the next of a service that ends at once; doubled every time."""
_STOP_SECONDS = 60.0
_LEAST_BYTES = 32 << 20
"""With less than this and less than a tenth of itself free, the disk counts as full."""
_STEADY_SECONDS = 60.0
"""Who has lived this long is started again at once."""


@dataclass
class Reconciler:
    """Watches one local system. `restarts`: service -> how often it was started again."""

    stack: LocalSystem
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    restarts: dict[str, int] = field(default_factory=dict)
    _pauses: dict[str, float] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _low: bool = False

    def look(self) -> list[str]:
        """Start again what ended and has rested long enough, in start order; their names."""
        self.stack.reap()
        self.stack.save()
        self._look_at_disk()
        ended = [item for item in self.stack.remembered() if item.process() is None]
        return [item.name for item in ended if self._is_due(item.name) and self._restart(item)]

    def _look_at_disk(self) -> None:
        """What ended because the disk was full need not rest once there is room."""
        disk = measure("run", self.stack.settings.folder, _LEAST_BYTES)
        low = bool(disk and disk.is_low)
        if self._low and not low:
            self._pauses.clear()
            self._started.clear()
        if low is not self._low:
            _log.warning("disk.full" if low else "disk.has_room", extra={"free": disk.free if disk else 0})
        self._low = low

    def _is_due(self, name: str) -> bool:
        lived = self.clock() - self._started.get(name, -_STEADY_SECONDS)
        if lived >= max(_STEADY_SECONDS, self._pauses.get(name, 0)):
            self._pauses.pop(name, None)
        return lived >= self._pauses.get(name, 0)

    def _restart(self, item: Running) -> bool:
        self._started[item.name] = self.clock()
        self._pauses[item.name] = min(LONGEST_PAUSE, 2 * self._pauses.get(item.name, FIRST_PAUSE / 2))
        item.stop(str(self.stack.settings.folder))  # children that outlived it would keep its ports
        try:
            self.stack.restart(item.name, wait=False)
        except (StartFailed, OSError) as failure:
            _log.warning("service.not_restarted", extra={"restarted": item.name, "detail": str(failure)})
            return False
        self.restarts[item.name] = self.restarts.get(item.name, 0) + 1
        with suppress(OSError):
            _write_tally(self.stack.settings, self.restarts)
        about = {"restarted": item.name, "times": self.restarts[item.name], "ended_pid": item.pid}
        _log.warning("service.restarted", extra=about)
        return True


def keep(stack: LocalSystem) -> None:
    """Look every second until told to stop; what is being started is remembered before that."""
    configure_logging("reconciler")
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    loop = Reconciler(stack)
    settings = stack.settings
    while not told.wait(LOOK_SECONDS):
        loop.look()
        rotate(settings.folder / "logs", most_bytes=settings.log_bytes)


def start(settings: LocalSettings) -> subprocess.Popen[bytes] | None:
    """Start the reconciler of a system that is up; None when it has one."""
    if living(settings):
        return None
    _tally(settings).unlink(missing_ok=True)
    with (settings.folder / "logs" / "loop.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "keep"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, MARK: str(settings.folder), "HIPPOCAMP_RUN": str(settings.folder)},
            start_new_session=True,
        )
    created = psutil.Process(process.pid).create_time()
    running.write(
        _memory(settings), [Running("reconciler", process.pid, created, stop_seconds=_STOP_SECONDS)]
    )
    return process


def stop(settings: LocalSettings) -> None:
    """End the reconciler, so that it starts nothing any more, whether a file knows it or not."""
    for leader in running.reconcilers(str(settings.folder)):
        with suppress(psutil.NoSuchProcess):
            leader.terminate()
            try:
                leader.wait(_STOP_SECONDS)
            except psutil.TimeoutExpired:
                leader.kill()
    _memory(settings).unlink(missing_ok=True)


def living(settings: LocalSettings) -> bool:
    """Whether the system has a loop."""
    return any(item.process() for item in running.read(_memory(settings)))


def restarts(settings: LocalSettings) -> dict[str, int]:
    """Service -> how often it was started again since `up`."""
    try:
        return dict(json.loads(_tally(settings).read_text()))
    except (OSError, ValueError):
        return {}


def _write_tally(settings: LocalSettings, counts: dict[str, int]) -> None:
    part = _tally(settings).with_suffix(".part")
    part.write_text(json.dumps(counts))
    part.replace(_tally(settings))


def _memory(settings: LocalSettings) -> Path:
    return settings.folder / "loop.json"


def _tally(settings: LocalSettings) -> Path:
    return settings.folder / "restarts.json"
