"""A file of this machine that appears under its name whole, or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import IO


class WholeFile:
    """Written beside its place; takes part in `BlobStore.receive` as fsspec's uncommitted files do."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._durable = path, durable
        self._part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        self._out = self._part.open("wb")

    @property
    def file(self) -> IO[bytes]:
        """What is written to, for who writes by its descriptor."""
        return self._out

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
        if not self._durable:
            return
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._out.close()
        self._part.unlink(missing_ok=True)
