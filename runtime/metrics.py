"""A service's figures for Prometheus: those of all its processes added up, ended ones included."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from celery import signals
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from runtime.settings import SettingError, env_count, env_text

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""One folder a service, where each of its processes keeps its counts in files of its own."""
_SUMMED = ("counter", "histogram")


def service_registry() -> CollectorRegistry:
    """What one scrape reads; make a new one for each, or keep it for a server of its own."""
    if _FOLDER not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    registry.register(_AllProcesses(Path(os.environ[_FOLDER])))
    return registry


class _AllProcesses(Collector):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        with _alone_in(self._folder):
            for file in self._folder.glob("gauge_live*.db"):
                if _has_ended(file):
                    mark_process_dead(_process_of(file), str(self._folder))  # type: ignore[no-untyped-call]
            found = MultiProcessCollector(None, str(self._folder)).collect()  # type: ignore[no-untyped-call]
            yield from list(found)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No scrape and no adoption in this folder at the same time: a scrape would miss a file that is renamed.

    Unlocked by word, not by closing: a pool process forked meanwhile has a copy of the handle, and would
    keep the lock for as long as it lives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)


def adopt_counts(folder: Path) -> None:
    """Continue the files of a process that has ended; call it in a new process before it counts anything.

    Files of ended processes stay, since their counts still belong to the totals. A pool whose children are
    killed or recycled would fill the folder, so each new child continues where one of them stopped.
    """
    with _alone_in(folder):
        for kind in _SUMMED:
            own = folder / f"{kind}_{os.getpid()}.db"
            ended = (file for file in sorted(folder.glob(f"{kind}_*.db")) if _has_ended(file))
            if not own.exists() and (file := next(ended, None)):
                file.rename(own)


def _process_of(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def _has_ended(file: Path) -> bool:
    try:
        os.kill(_process_of(file), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False


def serve_from_workers() -> None:
    """Have the parent of a Celery pool answer on HIPPOCAMP_METRICS_PORT (0 = not at all).

    The parent lives as long as the service and does no work itself, so a scrape neither waits for a job nor
    meets another child each time.
    """
    servers: list[WSGIServer] = []

    def start(**_: object) -> None:
        port = env_count("METRICS_PORT", 0, most=65535)
        if port:
            servers.append(_listen(port))

    def leave_to_parent(**_: object) -> None:
        for server in servers:  # a child that held the socket would keep the port after its parent's end
            server.socket.close()
        if _FOLDER in os.environ:
            adopt_counts(Path(os.environ[_FOLDER]))

    signals.worker_init.connect(start, weak=False)
    signals.worker_process_init.connect(leave_to_parent, weak=False)


def _listen(port: int) -> WSGIServer:
    try:
        server, _ = start_http_server(port, env_text("METRICS_BIND", "127.0.0.1"), service_registry())
    except OSError as error:
        raise SettingError(f"HIPPOCAMP_METRICS_PORT={port}: {error.strerror or error}") from None
    return server
