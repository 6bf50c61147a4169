"""What is submitted: a file, a folder of DICOM slices or a stream, as bytes that a retry can read again."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, BinaryIO

PIECE = 1 << 18
_SPOOL = 32 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of every zip entry, so that the same slices always make the same bytes and the same digest."""


@dataclass(eq=False)
class Source:
    """Bytes to submit. `name` is for the person in front of the screen; it is never sent."""

    name: str
    path: Path | None = None
    spool: IO[bytes] | None = None

    @cached_property
    def size(self) -> int:
        """Bytes."""
        if self.path:
            return self.path.stat().st_size
        if self.spool is None:
            raise ValueError(f"{self.name} holds no bytes")
        return self.spool.seek(0, 2)

    def pieces(self) -> Iterator[bytes]:
        """The bytes from the start, in pieces of 256 KiB; may be called again."""
        if self.path:
            with self.path.open("rb") as file:
                yield from _read(file)
        elif self.spool is not None:
            self.spool.seek(0)
            yield from _read(self.spool)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, hex."""
        found = hashlib.sha256()
        for piece in self.pieces():
            found.update(piece)
        return found.hexdigest()

    def close(self) -> None:
        """Give back the temporary file, when there is one."""
        if self.spool is not None:
            self.spool.close()


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def open_source(what: str | Path | bytes | BinaryIO) -> Source:
    """A file as it is; a folder as a zip of its files; bytes or a stream through a temporary file."""
    if isinstance(what, (str, Path)):
        path = Path(what)
        if path.is_dir():
            return _zipped(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is neither a file nor a folder")
        return Source(path.name, path)
    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL)  # noqa: SIM115  the Source closes it
    if isinstance(what, bytes):
        spool.write(what)
    else:
        shutil.copyfileobj(what, spool, PIECE)
    return Source("stream", spool=spool)


def _zipped(folder: Path) -> Source:
    """A stored (not deflated) zip; entries are numbered, because file names can name a patient."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    if not files:
        raise FileNotFoundError(f"{folder} holds no files")
    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL)  # noqa: SIM115  the Source closes it
    with zipfile.ZipFile(spool, "w", zipfile.ZIP_STORED) as archive:
        for number, file in enumerate(files, start=1):
            suffix = file.suffix.lower() if file.suffix.lower() in _KEPT else ""
            entry = zipfile.ZipInfo(f"{number:05d}{suffix}", _EPOCH)
            with file.open("rb") as reader, archive.open(entry, "w", force_zip64=True) as writer:
                shutil.copyfileobj(reader, writer, PIECE)
    return Source(folder.name, spool=spool)


_KEPT = frozenset({".dcm", ".ima", ".hdr", ".img", ".nii", ".gz", ".mgz", ".mgh"})
"""Suffixes that tell the service which entry is header and which is image."""
