"""Byte streams over plain, gzip and zip input whose every failure is an InputError with its own code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from isal import igzip

from contracts.errors import CorruptFile, EmptyFile, NotAVolume, TruncatedFile
from imaging.reading import reading

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
PIECE = 4 << 20
_igzip: Any = igzip


@contextmanager
def open_stream(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked when it is gzip (by content, not by name)."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        if packed:
            with unpacked(file) as stream:
                yield stream
        else:
            yield file


def unpacked(file: BinaryIO) -> AbstractContextManager[BinaryIO]:
    """The bytes that a gzip stream holds."""
    return cast("AbstractContextManager[BinaryIO]", _igzip.IGzipFile(fileobj=file, mode="rb"))


def first_bytes(path: Path, count: int) -> bytes:
    """Up to `count` bytes as stored; EmptyFile when there are none."""
    if not path.is_file():
        raise NotAVolume("the upload is not a regular file")
    with path.open("rb") as file:
        start = file.read(count)
    if not start:
        raise EmptyFile("the file has no bytes")
    return start


def read_exactly(stream: BinaryIO, count: int) -> bytes:
    """`count` bytes or TruncatedFile."""
    with reading():
        data = stream.read(count)
    if len(data) < count:
        raise TruncatedFile(f"the file ends after {len(data)} of {count} header bytes")
    return data


def fill(stream: BinaryIO, out: memoryview) -> None:
    """Fill `out` from the stream or raise TruncatedFile."""
    done = 0
    while done < len(out):
        with reading():  # by pieces: what a zip entry reads at once is in memory twice
            got = cast("int", stream.readinto(out[done : done + PIECE]))  # type: ignore[attr-defined]
        if not got:
            raise TruncatedFile(f"the file ends {len(out) - done} bytes before its last voxel")
        done += got


def finish(stream: BinaryIO, tolerated: int) -> None:
    """Read to the end, so that checksums are verified; CorruptFile when much more follows than expected."""
    left = tolerated
    while True:
        with reading():
            data = stream.read(1 << 16)
        if not data:
            return
        left -= len(data)
        if left < 0:
            raise CorruptFile("the file holds more voxels than its header states")
