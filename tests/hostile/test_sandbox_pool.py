"""The process that reads an upload may hang, be killed, or want too much; the next upload is read."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import psutil
import pytest

from contracts.errors import CorruptFile, HippocampError, StoreUnavailable, TooLarge
from gateway.http.errors import SandboxBusy
from gateway.uploads.sanitize.pool import SandboxPool
from gateway.uploads.sanitize.task import Kind, Limits, Sanitized, Task
from tests.hostile.archives import zipped
from tests.hostile.case import nifti, voxels
from tests.hostile.dicom_files import Plan, series
from tests.support.waiting import eventually

pytestmark = pytest.mark.hostile

MOST = 64 << 20
VOLUME = Task(Kind.VOLUME, MOST)
LIMITS = Limits(memory_bytes=512 << 20, cpu_seconds=1, wall_seconds=90, at_once=1)
"""Little of everything but the clock's time, which belongs to the machine."""


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    made = SandboxPool(LIMITS)
    made.start()
    yield made
    made.stop()


@contextmanager
def file_of(data: bytes) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file


def process_of(pool: SandboxPool, kind: Kind = Kind.VOLUME) -> int:
    process = pool.server(kind).process
    assert process is not None
    return process.pid


def read(pool: SandboxPool, task: Task, data: bytes) -> Sanitized:
    with file_of(data) as source, tempfile.TemporaryFile() as out:
        return pool.sanitize(task, source, out)


@pytest.mark.parametrize("edge", [64, 8])
def test_a_full_disk_is_not_the_file_s_fault(pool: SandboxPool, edge: int) -> None:
    """Found while writing, and once more, by what is still in memory, while closing."""
    with (
        file_of(nifti(voxels((edge,) * 3))) as source,
        Path("/dev/full").open("wb", buffering=0) as out,
        pytest.raises(StoreUnavailable, match="No space left"),
    ):
        pool.sanitize(VOLUME, source, out)
    assert read(pool, VOLUME, nifti()).size_bytes == len(nifti())


@contextmanager
def stuck(pool: SandboxPool) -> Iterator[tuple[Callable[[], psutil.Process], list[object], int]]:
    """A child that waits to be read from; (how to find it, where its end is noted, the end to read)."""
    end, full = os.pipe()
    told: list[object] = []

    def work() -> None:
        with file_of(nifti()) as source, os.fdopen(full, "wb") as out:
            try:
                told.append(pool.sanitize(VOLUME, source, out))
            except HippocampError as error:
                told.append(type(error))

    def found() -> psutil.Process:
        fresh: list[psutil.Process] = []

        def look() -> bool:
            fresh[:] = [c for c in psutil.Process(process_of(pool)).children() if c.pid not in met]
            return bool(fresh)

        eventually(look)
        met.add(fresh[0].pid)
        return fresh[0]

    met: set[int] = set()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield found, told, end
    finally:
        thread.join(60)
        os.close(end)


def test_one_that_hangs_is_ended_in_its_time(pool: SandboxPool) -> None:
    hasty = SandboxPool(replace(LIMITS, wall_seconds=1.5))
    hasty.start()
    try:
        with stuck(hasty) as (_, told, _):
            pass
    finally:
        hasty.stop()
    assert told == [TooLarge]
    assert read(pool, VOLUME, nifti()).size_bytes == len(nifti())


def test_one_that_was_killed_is_followed_by_another(pool: SandboxPool) -> None:
    with stuck(pool) as (found, told, end):
        found().send_signal(signal.SIGKILL)
        found()
        while os.read(end, 1 << 20):
            pass
    assert isinstance(told[0], Sanitized)


def test_a_file_that_ends_two_of_them_is_refused(pool: SandboxPool) -> None:
    with stuck(pool) as (found, told, _):
        found().send_signal(signal.SIGSEGV)
        found().send_signal(signal.SIGSEGV)
    assert told == [CorruptFile]
    assert read(pool, VOLUME, nifti()).size_bytes == len(nifti())


def test_the_server_too_may_be_killed(pool: SandboxPool) -> None:
    first = process_of(pool)
    os.kill(first, signal.SIGKILL)
    assert read(pool, VOLUME, nifti()).size_bytes == len(nifti())
    assert process_of(pool) != first


def test_who_finds_all_busy_is_told_to_come_again(pool: SandboxPool) -> None:
    hurried = SandboxPool(replace(LIMITS, wait_seconds=0.1))
    with hurried.slots.taken("north"), pytest.raises(SandboxBusy):
        read(hurried, VOLUME, nifti())


def test_computing_memory_and_what_is_written_are_bounded(pool: SandboxPool) -> None:
    with zipfile.ZipFile(io.BytesIO(series(Plan(order=tuple(range(9)))))) as one:
        long = zipped({f"{n}{name}": one.read(name) for n in range(180) for name in one.namelist()})
    header = nifti(voxels((16, 16, 16)))[:344] + b"ni1\0"
    wide = zipped({"a.hdr": header, "a.img": bytes(LIMITS.memory_bytes)})
    for most, data, what in ((MOST, long, "computing"), (1 << 30, wide, "memory")):
        with pytest.raises(TooLarge, match=what):
            read(pool, Task(Kind.ARCHIVE, most), data)
    far = nifti(voxels((256, 256, 160), "int16"))
    with pytest.raises(TooLarge, match="unpacks to"):
        read(pool, Task(Kind.PACKED, 1 << 20), gzip.compress(far, 1))
    assert read(pool, VOLUME, nifti()).size_bytes == len(nifti())


CONFINED = """
import json, os, socket, sys
from gateway.uploads.sanitize.server import confine
from gateway.uploads.sanitize.task import Limits
confine(Limits(), most_bytes=1, keep={3})
found = {}
for name, attempt in {"file": lambda: open("/etc/passwd"), "socket": socket.socket, "pipe": os.pipe,
                      "fork": os.fork if os.geteuid() else socket.socket}.items():
    try:
        attempt()
        found[name] = "got it"
    except OSError as error:
        found[name] = error.errno
print(json.dumps(found))
"""


def test_a_child_can_open_nothing() -> None:
    out = subprocess.run([sys.executable, "-c", CONFINED], capture_output=True, text=True, check=True)
    assert "got it" not in json.loads(out.stdout).values()


def test_a_child_knows_no_password() -> None:
    os.environ["HIPPOCAMP_REDIS_URL"], before = (
        "redis://:secret@nowhere",
        os.environ.get("HIPPOCAMP_REDIS_URL"),
    )
    pool = SandboxPool(LIMITS)
    try:
        pool.start()
        for kind in (Kind.VOLUME, Kind.ARCHIVE):
            environment = psutil.Process(process_of(pool, kind)).environ()
            assert not any("HIPPOCAMP" in name or "secret" in value for name, value in environment.items())
    finally:
        pool.stop()
        os.environ.pop("HIPPOCAMP_REDIS_URL")
        if before:
            os.environ["HIPPOCAMP_REDIS_URL"] = before


def test_the_process_that_forks_for_single_volumes_holds_little() -> None:
    """Each of these costs every fork its pages, and logging could quote a file."""
    asked = (
        "import sys; from gateway.uploads.sanitize import server; server.warm_up(single=True);"
        "print(*({'threading', 'pydicom', 'logging', 'zipfile', 'numpy'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-P", "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
