"""A DICOM instance without what names a person, header and pixels: what every door stores."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from imaging.codestreams import JP2_START, JPEG2000_START, JPEG_START, blank_text, check_lossless
from imaging.deidentify import Rules, header_without_identity
from imaging.dicom_file import UNREADABLE, Instance, UnreadableInstance, open_instance
from imaging.limits import MAX_DICOM_FILE
from imaging.uncompressed import values_alone

Pixels = bytes | bytearray | memoryview

_WITH_TEXT = frozenset((*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes))
"""Compressions whose streams can carry text; RLE has none."""

_LOSSLESS = frozenset((JPEGLossless, JPEGLosslessSV1))
"""Their decoder is the least careful one, so what it is given is looked at first."""

_STARTS = (JPEG_START, JPEG2000_START, JP2_START)
_UNDEFINED = 0xFFFFFFFF
_HEAD = struct.Struct("<HHL")


def deidentified(instance: Instance, rules: Rules) -> tuple[bytes, Pixels]:
    """(header in PS3.10 file format, pixel element) of the instance, cleaned; UnreadableInstance."""
    try:
        return header_without_identity(instance, rules), _without_text(instance)
    except (*UNREADABLE, OSError) as error:  # pydicom turns what it cannot write into OSError, quoting it
        raise UnreadableInstance(f"a value in the file cannot be read ({type(error).__name__})") from None


def deidentify(data: bytes, rules: Rules | None = None) -> bytes:
    """A whole file cleaned; UnreadableInstance."""
    return b"".join(deidentified(open_instance(data, most_bytes=MAX_DICOM_FILE), rules or Rules()))


def _without_text(instance: Instance) -> Pixels:
    """The pixel element; in compressed ones all text of the codestreams is blanked, and no byte moves."""
    pixels, syntax = instance.pixels, instance.syntax
    if len(pixels) and not syntax.is_compressed:
        return values_alone(instance)
    if syntax not in _WITH_TEXT or not len(pixels):
        return pixels
    out = bytearray(pixels)
    (length,) = struct.unpack_from("<L", out, 8)
    if length != _UNDEFINED:
        raise ValueError("compressed pixels are not encapsulated")
    for frame in _frames(out):
        stream = bytearray().join(out[begins:ends] for begins, ends in frame)
        blank_text(stream)
        if syntax in _LOSSLESS:
            check_lossless(bytes(stream), int(instance.header.Rows), int(instance.header.Columns))
        at = 0
        for begins, ends in frame:
            out[begins:ends] = stream[at : at + ends - begins]
            at += ends - begins
    return out


def _frames(element: bytearray) -> Iterator[list[tuple[int, int]]]:
    """Places of the fragments of each frame (PS3.5, A.4), behind the offset table; one may have several."""
    at, fragments = 12, 0
    frame: list[tuple[int, int]] = []
    while at + 8 <= len(element):
        group, number, length = _HEAD.unpack_from(element, at)
        at += 8
        if (group, number) != (0xFFFE, 0xE000):
            break
        if fragments:
            if frame and element[at : at + 12].startswith(_STARTS):
                yield frame
                frame = []
            frame.append((at, at + length))
        fragments, at = fragments + 1, at + length
    if frame:
        yield frame
