"""A DICOM file taken apart: its header, parsed within bounds, and its pixel element, left as bytes."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filebase import DicomFileLike
from pydicom.filereader import read_dataset, read_preamble
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from imaging.dicom_elements import MOST_ELEMENTS, ElementBudget, TooManyElements
from imaging.dicom_magic import META, VRS, is_bare

MOST_HEADER = 8 << 20
"""Bytes before the pixels: 512 frames' functional groups take about one million."""

UNREADABLE = (
    InvalidDicomError, BytesLengthException, ValueError, TypeError, EOFError, OverflowError, RecursionError,
    NotImplementedError, IndexError, AttributeError, KeyError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom raises at broken files. Its messages quote values, which may be names."""

_MARK = bytes(128) + b"DICM"
_PIXEL_TAGS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # its warnings quote values too
pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE


class UnreadableInstance(Exception):  # noqa: N818  named for what happened
    """The bytes are no DICOM instance that can be taken; the message quotes nothing of them."""


class OverlongHeader(UnreadableInstance):
    """It holds more data elements than are read."""


@dataclass(frozen=True)
class Instance:
    """header: every element before the pixels. pixels: the pixel element's bytes, none when it is absent."""

    header: Dataset
    pixels: bytes | memoryview
    syntax: UID


def as_file(data: bytes) -> bytes:
    """The instance in PS3.10 file format: preamble and meta group are added when it lacks them."""
    begins = 132 if data[128:132] == b"DICM" else 0
    if not is_bare(data[begins : begins + 12]):
        raise InvalidDicomError
    if data[begins : begins + 2] == META:
        return data if begins else _MARK + data
    syntax = ExplicitVRLittleEndian if data[begins + 4 : begins + 6] in VRS else ImplicitVRLittleEndian
    meta, whole = FileMetaDataset(), io.BytesIO()
    meta.TransferSyntaxUID = syntax
    whole.write(_MARK)
    write_file_meta_info(DicomFileLike(whole), meta, enforce_standard=False)
    return whole.getvalue() + data[begins:]


def open_instance(
    data: bytes, *, most_bytes: int = 120 << 20, budget: ElementBudget | None = None
) -> Instance:
    """The file's parts; UnreadableInstance, OverlongHeader.

    A deflated one is inflated to at most `most_bytes`. budget: one for all instances of an upload.
    """
    try:
        return _open(data, most_bytes, budget or ElementBudget())
    except TooManyElements as error:
        raise OverlongHeader(str(error)) from None
    except UNREADABLE as error:
        raise UnreadableInstance(f"not a readable DICOM file ({type(error).__name__})") from None


def _open(data: bytes, most_bytes: int, budget: ElementBudget) -> Instance:
    body = undeflated(data, most_bytes=most_bytes)
    file = io.BytesIO(body)
    read_preamble(file, False)
    syntax = UID(read_dataset(file, False, True, stop_when=_past_meta).TransferSyntaxUID)
    begins = file.tell()
    header = io.BytesIO(body[: begins + MOST_HEADER])
    header.seek(begins)
    budget.spend(
        memoryview(body)[begins : begins + MOST_HEADER],
        is_implicit=syntax.is_implicit_VR,
        is_little=syntax.is_little_endian,
    )
    dataset = read_dataset(
        header, syntax.is_implicit_VR, syntax.is_little_endian, stop_when=_Stop(_PIXEL_TAGS)
    )
    at = header.tell()
    if at >= begins + MOST_HEADER:
        raise ValueError("the header has no end")
    return Instance(dataset, _pixel_element(memoryview(body)[at:], syntax), syntax)


def _inflated(packed: bytes, most_bytes: int) -> bytes:
    """The deflated part of a file (PS3.5, A.5); ValueError when it is longer than `most_bytes`."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(packed, most_bytes)
    if not inflater.eof:
        raise ValueError("a deflated file is too long or has no end")
    return body


def undeflated(data: bytes, *, most_bytes: int) -> bytes:
    """The instance in PS3.10 file format, not deflated; raises what UNREADABLE lists."""
    data = as_file(data)
    file = io.BytesIO(data)
    read_preamble(file, False)
    meta = read_dataset(file, False, True, stop_when=_past_meta)
    if UID(str(meta.get("TransferSyntaxUID"))) != DeflatedExplicitVRLittleEndian:
        return data
    begins, plain = file.tell(), io.BytesIO()
    plain.write(data[:132])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    write_file_meta_info(DicomFileLike(plain), FileMetaDataset(meta), enforce_standard=False)
    return plain.getvalue() + _inflated(data[begins:], most_bytes)


def _past_meta(tag: Any, *_: object) -> bool:
    return bool(tag.group != 2)


class _Stop:
    """Ends the reading at the pixels, or for good at one element too many that the count did not see."""

    def __init__(self, tags: frozenset[int]) -> None:
        self._tags, self._left = tags, MOST_ELEMENTS

    def __call__(self, tag: Any, *_: object) -> bool:
        self._left -= 1
        if self._left < 0:
            raise TooManyElements
        return int(tag) in self._tags


def _pixel_element(rest: memoryview, syntax: UID) -> memoryview | bytes:
    """The element at the start of `rest`, without what follows it: private data behind the pixels goes."""
    if not len(rest):
        return b""
    order = "<" if syntax.is_little_endian else ">"
    begins = 8 if syntax.is_implicit_VR or bytes(rest[4:6]) not in (b"OB", b"OW", b"OF", b"OD", b"UN") else 12
    (length,) = struct.unpack_from(order + "L", rest, begins - 4)
    ends = _after_items(rest, begins, order) if length == 0xFFFFFFFF else begins + length
    if ends > len(rest):
        raise EOFError("the file ends inside its pixels")
    return rest[:ends]


def _after_items(rest: memoryview, at: int, order: str) -> int:
    """The place behind the delimiter of encapsulated pixels (PS3.5, A.4)."""
    while True:
        *tag, length = struct.unpack_from(order + "HHL", rest, at)
        at += 8
        if tuple(tag) == _END:
            return at
        if tuple(tag) != _ITEM:
            raise ValueError("an item of the pixels is damaged")
        at += length
