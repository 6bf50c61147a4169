"""A service's figures for Prometheus: those of all its processes added up, ended ones included."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from celery import signals
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
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
            fold(self._folder)
            found = MultiProcessCollector(None, str(self._folder)).collect()  # type: ignore[no-untyped-call]
            yield from list(found)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No other scrape of this folder at the same time: one would miss what the other is folding.

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


def fold(folder: Path) -> None:
    """Add the files of ended processes to `<kind>_ended.db`; a kill at any moment counts nothing twice.

    A pool that recycles its children would otherwise fill the folder, and lose counts if they were deleted.
    """
    for kind in _SUMMED:
        _finish(folder, kind)
        ended = [file for file in folder.glob(f"{kind}_*.db") if _has_ended(file)]
        if ended:
            _write_sums(folder, kind, ended)
            _finish(folder, kind)
    for gauge in folder.glob("gauge_live*.db"):
        if _has_ended(gauge):
            gauge.unlink()


def _has_ended(file: Path) -> bool:
    pid = file.stem.rpartition("_")[2]
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _write_sums(folder: Path, kind: str, ended: list[Path]) -> None:
    """Write the new sums beside the old, then the journal: from then on the fold will be finished."""
    sums: dict[str, tuple[float, float]] = {}
    kept = folder / f"{kind}_ended.db"
    for file in [*ended, *([kept] if kept.exists() else [])]:
        for key, value, stamp, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            before = sums.get(key, (0.0, 0.0))
            sums[key] = (before[0] + value, max(before[1], stamp))
    fresh, draft = folder / f"{kind}.fresh", folder / f"{kind}.draft"
    fresh.unlink(missing_ok=True)
    out = MmapedDict(str(fresh))  # type: ignore[no-untyped-call]
    for key, (value, stamp) in sums.items():
        out.write_value(key, value, stamp)  # type: ignore[no-untyped-call]
    out.close()  # type: ignore[no-untyped-call]
    draft.write_text(json.dumps([file.name for file in ended]))
    draft.replace(folder / f"{kind}.journal")


def _finish(folder: Path, kind: str) -> None:
    """Take the last steps of a fold whose journal stands, each of which may be repeated."""
    journal, fresh = folder / f"{kind}.journal", folder / f"{kind}.fresh"
    if not journal.exists():
        return
    if fresh.exists():
        fresh.replace(folder / f"{kind}_ended.db")
    for name in json.loads(journal.read_text()):
        (folder / name).unlink(missing_ok=True)
    journal.unlink()


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

    signals.worker_init.connect(start, weak=False)
    signals.worker_process_init.connect(leave_to_parent, weak=False)


def _listen(port: int) -> WSGIServer:
    try:
        server, _ = start_http_server(port, env_text("METRICS_BIND", "127.0.0.1"), service_registry())
    except OSError as error:
        raise SettingError(f"HIPPOCAMP_METRICS_PORT={port}: {error.strerror or error}") from None
    return server
