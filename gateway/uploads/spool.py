"""Bytes as they were sent, in a file without a name: it goes with its handle, or with the process."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runtime.blobs import BlobStore
from runtime.system_errors import of_disk

_LOOK_BYTES = 1 << 20
"""After so many the room on the disk is looked at again."""


@dataclass(frozen=True)
class Sent:
    """An upload at its beginning, its size and its SHA-256 in hex."""

    file: IO[bytes]
    size_bytes: int
    sha256: str


@contextmanager
def spooled(chunks: Iterable[bytes | bytearray | memoryview], blobs: BlobStore) -> Iterator[Sent]:
    """The chunks on the store's disk, or where this machine keeps temporary files when the store is a bucket.

    StoreUnavailable when the disk is full, DiskNearlyFull before that; whatever `chunks` raises.
    """
    with nameless(blobs) as file:
        digest, size, seen = hashlib.sha256(), 0, -_LOOK_BYTES
        for chunk in chunks:
            if size - seen >= _LOOK_BYTES:
                blobs.check_space()
                seen = size
            digest.update(chunk)
            size += len(chunk)
            with _disk():
                file.write(chunk)
        with _disk():
            file.seek(0)
        yield Sent(file, size, digest.hexdigest())


@contextmanager
def nameless(blobs: BlobStore) -> Iterator[IO[bytes]]:
    """An empty file for what must not outlive this; StoreUnavailable.

    Closing writes what is still in the buffer: a full disk says so a second time, to nobody's use.
    """
    file = open_nameless(blobs)
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


def open_nameless(blobs: BlobStore) -> IO[bytes]:
    """As `nameless`, for a caller that closes the file itself."""
    with _disk():
        return _opened(blobs.folder)


def _opened(folder: Path | None) -> IO[bytes]:
    """One that the store can give a name to (`BlobStore.adopt`), where the file system knows such files."""
    if folder:
        with suppress(OSError):
            return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), "w+b")
        folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)


@contextmanager
def _disk() -> Iterator[None]:
    """A full disk is the store's failure, and no reason to blame the file."""
    try:
        yield
    except OSError as error:
        raise of_disk(error, f"The upload cannot be spooled: {error.strerror or error}") from error
