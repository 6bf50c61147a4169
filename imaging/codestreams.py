"""Text inside compressed pixels, blanked in place: no length changes, so that every offset stays true.

JPEG and JPEG-LS (ISO/IEC 10918-1, 14495-1) have comments and application segments, JPEG 2000 (15444-1) has
comments, and the boxes of a JP2 file around its codestream.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

JPEG_START, JPEG2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
JP2_START = b"\0\0\0\x0cjP  "

_SOF3 = 0xC3
_FRAMES = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
"""Start of frame, of all kinds: JPEG has 13, JPEG-LS one."""

_NEEDED = _FRAMES | {0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xF8}
"""Segments that decoding needs: frames, DHT, DAC, SOS, DQT, DNL, DRI, LSE; all others may hold text."""

_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+([\x80-\xcf\xd8-\xfe])")
"""Ends entropy-coded data: neither a stuffed byte (JPEG 00, JPEG-LS below 80) nor a restart (D0 to D7)."""

_KNOWN_2000 = frozenset((0x50, 0x51, 0x52, 0x53, 0x55, 0x57, 0x58, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x61, 0x63))
"""Segments of JPEG 2000 that decoding needs (ISO/IEC 15444-1, A.2); all others may hold text."""

_SOT, _SOD, _EOC = 0x90, 0x93, 0xD9
_NEEDED_BOXES = frozenset((b"jP  ", b"ftyp", b"jp2h", b"jp2c"))

Span = tuple[int, int]


def blank_text(stream: bytearray) -> None:
    """Blank what may be text in the codestreams of one frame; ValueError when their structure is damaged."""
    for begins, ends in list(_spans(bytes(stream))):
        stream[begins:ends] = bytes(ends - begins)


def check_lossless(stream: bytes, rows: int, columns: int) -> None:
    """ValueError unless its one frame is JPEG Lossless of 2 to 16 bits, as large as the header states.

    SOF3 (ISO/IEC 10918-1, B.2.2):  ff c3 | length | precision | rows | columns | components
    """
    frames = [(marker, at) for marker, at, _ in _segments(stream) if marker in _FRAMES]
    if len(frames) != 1 or frames[0][0] != _SOF3:
        raise ValueError("the stream is not one frame of JPEG Lossless")
    precision, *stated, components = struct.unpack_from(">BHHB", stream, frames[0][1] + 2)
    if not 2 <= precision <= 16 or components != 1 or stated != [rows, columns]:
        raise ValueError("the stream's frame is not the image of the header")
    if 8 * len(stream) < rows * columns:
        raise ValueError("the stream ends before the image does")


def _spans(data: bytes) -> Iterator[Span]:
    if data.startswith(JPEG_START):
        return _jpeg(data)
    if data.startswith(JPEG2000_START):
        return _jpeg2000(data, 0, len(data))
    if data.startswith(JP2_START):
        return _boxes(data)
    raise ValueError("compressed pixels start with no known marker")


def _jpeg(data: bytes) -> Iterator[Span]:
    for marker, at, ends in _segments(data):
        if marker == _END:
            yield at, ends
        elif marker not in _NEEDED:
            yield at + 2, ends


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, where its length stands, end) of each segment; at last the end marker and what follows it."""
    at, marker = 2, 0
    while marker != _END:
        if data[at : at + 1] != b"\xff":
            raise ValueError("a JPEG segment is damaged")
        while data[at : at + 1] == b"\xff":  # fill bytes may stand before a marker
            at += 1
        marker = data[at] if at < len(data) else _END
        at += 1
        ends = len(data) if marker == _END else at + _length(data, at, len(data))
        yield marker, at, ends
        at = _after_scan(data, ends) if marker == _SCAN else ends


def _after_scan(data: bytes, at: int) -> int:
    found = _MARKER.search(data, at)
    return found.start(1) - 1 if found else len(data) - 2 if data.endswith(b"\xff\xd9") else _cut()


def _cut() -> int:
    raise ValueError("a JPEG scan has no end")


def _length(data: bytes, at: int, ends: int) -> int:
    """Of a segment, its two bytes of length included."""
    if at + 2 > ends:
        raise ValueError("a segment lies outside the codestream")
    (length,) = struct.unpack_from(">H", data, at)
    if length < 2 or at + length > ends:
        raise ValueError("a segment lies outside the codestream")
    return int(length)


def _jpeg2000(data: bytes, begins: int, ends: int) -> Iterator[Span]:
    """Main header, then tile-parts one by one: SOT says how long each is, SOD ends its header."""
    at, part_ends = begins + 2, ends
    while True:
        if at + 2 > ends or data[at] != 0xFF:
            raise ValueError("a JPEG 2000 segment is damaged")
        marker, at = data[at + 1], at + 2
        if marker == _EOC:
            break
        if marker == _SOD:
            at = part_ends
            if at >= ends:  # the end marker may be missing
                break
            continue
        length = _length(data, at, ends)
        if marker == _SOT:
            part_ends = _part_end(data, at, ends)
        elif marker not in _KNOWN_2000:
            yield at + 2, at + length
        at += length
    yield at, ends


def _part_end(data: bytes, at: int, ends: int) -> int:
    """The place behind a tile-part, `at` being behind its SOT marker; 0 means up to the end marker."""
    if at + 10 > ends:
        raise ValueError("a tile-part is damaged")
    (length,) = struct.unpack_from(">L", data, at + 4)
    if not length:
        end = data.rfind(b"\xff\xd9", at, ends)
        return end if end > 0 else ends
    if length < 14 or at - 2 + length > ends:
        raise ValueError("a tile-part lies outside the codestream")
    return at - 2 + int(length)


def _boxes(data: bytes) -> Iterator[Span]:
    """Boxes of a JP2 file (annex I): what is no part of the picture goes, type and contents."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">L4s", data, at)
        begins = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, begins)
            begins += 8
        ends = at + length if length else len(data)
        if not begins <= ends <= len(data):
            raise ValueError("a JP2 box lies outside the file")
        if kind == b"jp2c":
            yield from _jpeg2000(data, begins, ends)
        elif kind == b"jp2h":
            yield from _profiles(data, begins, ends)
        elif kind not in _NEEDED_BOXES:
            yield begins, ends
        at = ends
    yield at, len(data)


def _profiles(data: bytes, at: int, ends: int) -> Iterator[Span]:
    """Within the header box: colour profiles, which hold a copyright text, and boxes nobody needs."""
    needed = (b"ihdr", b"bpcc", b"pclr", b"cmap", b"cdef", b"res ")
    while at + 8 <= ends:
        length, kind = struct.unpack_from(">L4s", data, at)
        if not 8 <= length <= ends - at:
            raise ValueError("a JP2 box lies outside the file")
        if kind == b"colr":
            yield at + 15 if data[at + 8] == 1 else at + 11, at + length
        elif kind not in needed:
            yield at + 8, at + length
        at += length
