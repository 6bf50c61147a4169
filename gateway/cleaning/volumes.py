"""A single-file volume as it is stored: unpacked, its text blanked, nothing behind its voxels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, cast

from isal import igzip

from contracts.errors import CorruptFile, TooLarge, TruncatedFile
from contracts.reading import reading
from gateway.cleaning.headers import Plan, blank, plan_of
from gateway.sniff import PEEK

_PIECE = 1 << 18
"""As much as stays in a core's cache between unpacking and writing."""
_igzip: Any = igzip


def unpacked(file: IO[bytes]) -> IO[bytes]:
    """The bytes inside a gzip file; its own header, which may hold names, stays behind."""
    return cast("IO[bytes]", _igzip.IGzipFile(fileobj=file, mode="rb"))


def cleaned(stream: IO[bytes], *, most_bytes: int) -> Iterator[bytes]:
    """The volume's bytes; TooLarge, TruncatedFile, CorruptFile, and what its header earns.

    The whole stream is read, so that a checksum at its end is verified.
    """
    with reading():
        head = stream.read(PEEK)
    plan = plan_of(head)
    if plan.ends > most_bytes:
        raise TooLarge(
            f"The volume unpacks to {plan.ends} bytes; {most_bytes} are taken", limit_bytes=most_bytes
        )
    at = 0
    while head:
        if kept := head[: max(0, plan.ends - at)]:
            yield blank(kept, at, plan.text)
        at += len(head)
        _check(at, plan)
        with reading():
            head = stream.read(_PIECE)
    if at < plan.ends:
        raise TruncatedFile(
            f"The header promises {plan.ends} bytes, the file has {at}; send it again",
            promised_bytes=plan.ends,
            size_bytes=at,
        )


def _check(at: int, plan: Plan) -> None:
    if at > plan.ends + plan.beyond:
        raise CorruptFile(f"The file holds more than the {plan.ends} bytes that its header states")
