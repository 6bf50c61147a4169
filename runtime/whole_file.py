"""A file of this machine that appears under its name whole, or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO

_CANNOT = frozenset({errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP})
"""It was deleted under a name rather than made without one, lies on another disk, or links are unknown."""


class WholeFile:
    """Written beside its place; takes part in `BlobStore` as fsspec's uncommitted files do."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._durable = path, durable
        self._part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        self._out = self._part.open("wb")

    def write(self, piece: bytes | memoryview) -> None:
        """Append."""
        self._out.write(piece)

    def close(self) -> None:
        """No more is written; if it is to be durable, what there is lies on disk."""
        if not self._out.closed:
            self._out.flush()
            if self._durable:
                os.fsync(self._out.fileno())
            self._out.close()

    def commit(self) -> None:
        """Take the place."""
        self._part.replace(self._path)
        if self._durable:
            _sync(self._path.parent)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._out.close()
        self._part.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """These bytes under this name, on disk when it returns; an OSError leaves nothing."""
    file = WholeFile(path, durable=True)
    try:
        file.write(data)
        file.close()
        file.commit()
    except OSError:
        with suppress(OSError):
            file.discard()
        raise


def take_place(file: IO[bytes], path: Path) -> bool:
    """Give a nameless file, synced, this name; False where the file system cannot do that.

    Such a file was opened with O_TMPFILE beneath the same mount; OSError for whatever else goes wrong.
    """
    file.flush()
    os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Naming a folder, though none is needed, makes Python call linkat, which follows the link in /proc.
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    _sync(path.parent)
    return True


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
