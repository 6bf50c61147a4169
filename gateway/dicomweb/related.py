"""A multipart/related body (RFC 2387) read as it arrives: one part in memory at a time, each bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from contracts.errors import BadRequest

_MOST_HEADER = 1 << 14
_MOST_BOUNDARY = 200
"""RFC 2046 allows 70 characters; Orthanc writes 73."""


@dataclass
class Part:
    """One part: its media type, lower case, and its bytes; `too_large`: they were dropped."""

    media: str
    data: bytearray = field(default_factory=bytearray)
    too_large: bool = False


class PartReader:
    """Cuts a stream at its boundaries. BadRequest when the body is no multipart or breaks off."""

    def __init__(self, body: Iterator[bytes], boundary: str, *, most_bytes: int) -> None:
        if not 1 <= len(boundary) <= _MOST_BOUNDARY:
            raise BadRequest(f"multipart/related needs a boundary of 1 to {_MOST_BOUNDARY} characters")
        self._body = body
        self._mark = b"\r\n--" + boundary.encode("latin-1", "replace")
        self._most = most_bytes
        self._buffer = bytearray(b"\r\n")  # so that a body may begin with its first boundary

    def parts(self) -> Iterator[Part]:
        """Every part in turn; use each before the next is asked for."""
        preamble = Part("", too_large=True)
        self._until_mark(preamble)
        while not self._closed():
            part = Part(self._media())
            self._until_mark(part)
            yield part

    def _more(self) -> None:
        piece = next(self._body, b"")
        if not piece:
            raise BadRequest("The multipart body ends before its closing boundary; send it again")
        self._buffer += piece

    def _until_mark(self, part: Part) -> None:
        """Move bytes up to the next boundary into the part, and the boundary out of the buffer."""
        while (at := self._buffer.find(self._mark)) < 0:
            keep = len(self._mark) - 1
            self._move(part, max(0, len(self._buffer) - keep))
            self._more()
        self._move(part, at)
        del self._buffer[: len(self._mark)]

    def _move(self, part: Part, count: int) -> None:
        if not part.too_large:
            part.data += self._buffer[:count]
            if len(part.data) > self._most:
                part.too_large = True
                part.data.clear()
        del self._buffer[:count]

    def _closed(self) -> bool:
        while len(self._buffer) < 2:
            self._more()
        return self._buffer.startswith(b"--")

    def _media(self) -> str:
        """Read the header lines of a part; what follows the empty line is its body."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MOST_HEADER:
                raise BadRequest("A part's header has no end")
            self._more()
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers = dict(line.partition(":")[::2] for line in lines if ":" in line)
        media = {name.strip().lower(): value for name, value in headers.items()}.get("content-type", "")
        return media.partition(";")[0].strip().lower()
