"""Uploads: megabytes a second and core against copying and hashing a file, and the memory they take."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.accounting import cpu_by_service, family
from bench.control_plane.system import System
from bench.scans import Writer
from bench.volumes import header

MEGABYTE = 1_000_000
FIRST_SCAN = 100
"""Numbers below are those of the scans that a system is tried with."""
_PIECE = 1 << 20


@dataclass(frozen=True)
class UploadCost:
    """Bodies of `size` bytes: MB a CPU second of the gateway and of a plain copy; bytes it grew by."""

    kind: str
    size: int
    rate: float
    bare_rate: float
    grown: float


def body(path: Path, size: int) -> None:
    """A NIfTI file of noise of about `size` bytes, with at most 512 voxels along each axis."""
    edge, doubles = (128 if size < 4_000_000 else 256 if size < 30_000_000 else 512), size > 130_000_000
    plane_bytes = edge * edge * (8 if doubles else 1)
    planes = (size - 352) // plane_bytes
    noise = os.urandom(plane_bytes)
    with path.open("wb") as out:
        out.write(header((edge, edge, planes), doubles=doubles))
        for plane in range(planes):
            out.write(plane.to_bytes(4, "little") + noise[4:])


def copied(source: Path, target: Path) -> float:
    """CPU seconds of what cannot be avoided: read, hash, write, sync."""
    begun = time.process_time()
    digest = hashlib.sha256()
    with source.open("rb") as opened, target.open("wb") as out:
        while piece := opened.read(_PIECE):
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    spent = time.process_time() - begun
    target.unlink()
    return spent


def send(system: System, path: Path) -> str:
    """Upload as curl does, with a known length; the job's id is of no interest, only that it was taken."""
    connection = http.client.HTTPConnection(system.url.removeprefix("http://"), timeout=120)
    with path.open("rb") as opened:
        about = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
        connection.request("POST", "/v1/jobs", body=opened, headers={**system.headers, **about})
        answer = connection.getresponse()
        said = answer.read().decode()
    connection.close()
    if answer.status not in {200, 202}:
        raise SystemExit(f"an upload of {path.stat().st_size} bytes was answered {answer.status}: {said}")
    return said


class Watch:
    """The most memory that all gateway processes together take while it is open."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes, self._over = processes, threading.Event()
        self.before = self.most = self._now()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _now(self) -> int:
        return sum(one.memory_info().rss for one in self._processes)

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, self._now())

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def cost(system: System, size: int, repeats: int) -> UploadCost:
    """`repeats` uploads of noise of one size, one after the other, after one that warms up."""
    scratch = system.folder / "body"
    body(scratch, size)
    return _cost(system, "noise", scratch, _changed(scratch, repeats))


def scan_cost(system: System, write: Writer, repeats: int) -> UploadCost:
    """The same of real scans."""
    scratch = write(system.folder / "body", FIRST_SCAN)
    others = (write(scratch, FIRST_SCAN + number) for number in range(1, repeats + 1))
    return _cost(system, f"scan, {write.__name__}", scratch, others)


def _cost(system: System, kind: str, scratch: Path, others: Iterator[Path]) -> UploadCost:
    whole, repeats = scratch.stat().st_size, 0
    leader = next(i.process() for i in system.stack.remembered() if i.name == "gateway")
    send(system, scratch)
    before = cpu_by_service(system.stack)["gateway"]
    with Watch(family(leader)) as watch:  # type: ignore[arg-type]
        for path in others:
            send(system, path)
            repeats += 1
    spent = cpu_by_service(system.stack)["gateway"] - before
    bare = sum(copied(scratch, system.folder / "copy") for _ in range(repeats))
    scratch.unlink()
    moved = whole * repeats / MEGABYTE
    return UploadCost(kind, whole, moved / spent, moved / bare, watch.most - watch.before)


def _changed(path: Path, repeats: int) -> Iterator[Path]:
    """The same file with other voxels, so that no upload is a repetition."""
    for _ in range(repeats):
        with path.open("r+b") as opened:
            opened.seek(400)
            opened.write(os.urandom(16))
        yield path
