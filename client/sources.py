"""What is submitted: a file, a folder of DICOM slices or a stream, as bytes that a retry can read again."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, BinaryIO

from contracts.series_words import descriptor

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
        for name, file in _named(files, folder):
            entry = zipfile.ZipInfo(name, _EPOCH)
            with file.open("rb") as reader, archive.open(entry, "w", force_zip64=True) as writer:
                shutil.copyfileobj(reader, writer, PIECE)
    return Source(folder.name, spool=spool)


def _named(files: list[Path], folder: Path) -> Iterator[tuple[str, Path]]:
    """(name without names, file): a number, what tells the parts of a BIDS folder apart, and the suffix.

    `sub-Doe/anat/sub-Doe_T1w.nii.gz`  ->  `00003_sub-1_t1.nii.gz`; the halves of a pair share a number.
    """
    numbers: dict[Path, int] = {}
    labels: dict[str, dict[str, int]] = {"sub": {}, "ses": {}}
    for number, file in enumerate(files, start=1):
        plain = file.name.lower().removesuffix(".gz")
        kept, packed = Path(plain).suffix, plain != file.name.lower()
        suffix = (kept if kept in _KEPT else "") + (".gz" if packed else "")
        if kept not in _VOLUMES:
            yield f"{number:05d}{suffix}", file
            continue
        shared = numbers.setdefault(file.parent / Path(plain).stem, number)
        about = [f"{shared:05d}"]
        for kind, label in dict(_ENTITY.findall(file.relative_to(folder).as_posix())).items():
            about.append(f"{kind}-{labels[kind].setdefault(label, len(labels[kind]) + 1)}")
        words = descriptor(_ENTITY.sub("_", plain)).replace(" ", "_")
        yield "_".join([*about, *([words] if words else [])]) + suffix, file


_ENTITY = re.compile(r"(?:^|(?<=[_/]))(sub|ses)-([^_/]+?)(?=_|/|\.[a-zA-Z.]+$|$)")
_VOLUMES = frozenset({".hdr", ".img", ".nii", ".mgz", ".mgh"})
_KEPT = _VOLUMES | {".dcm", ".ima", ".zip"}
"""Suffixes that tell the service which entry is header and which is image."""
