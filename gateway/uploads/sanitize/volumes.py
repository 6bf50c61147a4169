"""A single-file volume as it is stored: unpacked, its text blanked, nothing behind its voxels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any, cast

from isal import igzip

from contracts.errors import CorruptFile, TooLarge, TruncatedFile
from imaging.headers import Plan, blank, plan_of
from imaging.reading import reading
from imaging.sniff import PEEK

_PIECE = 1 << 18
"""As much as stays in a core's cache between unpacking and writing."""
_igzip: Any = igzip


def unpacked(file: IO[bytes]) -> IO[bytes]:
    """The bytes inside a gzip file; its own header, which may hold names, stays behind."""
    return cast("IO[bytes]", _igzip.IGzipFile(fileobj=file, mode="rb"))


def sanitized(stream: IO[bytes], *, most_bytes: int) -> Iterator[bytes]:
    """The volume's bytes; TooLarge, TruncatedFile, CorruptFile, and what its header earns.

    The whole stream is read, so that a checksum at its end is verified.
    """
    with reading():
        head = stream.read(PEEK)
    plan, at = _plan(head, most_bytes), 0
    while head:
        if kept := head[: max(0, plan.ends - at)]:
            yield blank(kept, at, plan.text)
        at += len(head)
        _check(at, plan)
        with reading():
            head = stream.read(_PIECE)
    _check_whole(at, plan)


def sanitize_in_place(file: IO[bytes], *, most_bytes: int) -> int:
    """Make a plain volume what `sanitized` would make of it; its size then, in bytes. Raises the same.

    Only its text and its end are touched, however large it is; doing it once more changes nothing.
    """
    file.seek(0)
    plan = _plan(file.read(PEEK), most_bytes)
    size = file.seek(0, os.SEEK_END)
    _check(size, plan)
    _check_whole(size, plan)
    for begins, ends in plan.text:
        file.seek(begins)
        for at in range(begins, min(ends, plan.ends), _PIECE):
            file.write(bytes(min(_PIECE, ends - at, plan.ends - at)))
    file.truncate(plan.ends)
    return plan.ends


def voxels_of(image: bytes, begins: int, ends: int) -> memoryview:
    """The voxels of a pair's image, without what is around them; TruncatedFile, CorruptFile."""
    plan = Plan((), ends)
    _check(len(image), plan)
    _check_whole(len(image), plan)
    return memoryview(image)[begins:ends]


def _plan(head: bytes, most_bytes: int) -> Plan:
    plan = plan_of(head)
    if plan.ends > most_bytes:
        raise TooLarge(
            f"The volume unpacks to {plan.ends} bytes; {most_bytes} are taken", limit_bytes=most_bytes
        )
    return plan


def _check_whole(size: int, plan: Plan) -> None:
    if size < plan.ends:
        raise TruncatedFile(
            f"The header promises {plan.ends} bytes, the file has {size}; send it again",
            promised_bytes=plan.ends,
            size_bytes=size,
        )


def _check(at: int, plan: Plan) -> None:
    if at > plan.ends + plan.beyond:
        raise CorruptFile(f"The file holds more than the {plan.ends} bytes that its header states")
