"""Uncompressed pixels as they are stored: the values alone, nothing in unused bits, nothing behind them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from imaging.dicom_file import Instance

_PIXEL_DATA = 0x7FE0, 0x0010
_VRS = b"OB", b"OW", b"UN"
_UNDEFINED = 0xFFFFFFFF
_PIECE = 1 << 20


def values_alone(instance: Instance) -> bytes:
    """The pixel element, masked and cut to what the header states; ValueError for what is none.

    BitsStored 4, HighBit 5 of 8:  o o [v v v v] t t  ->  0 0 v v v v 0 0
    Without a usable shape no value can be told from text: the element is empty, and the worker says why.
    """
    syntax, element = instance.syntax, memoryview(instance.pixels)
    order = "<" if syntax.is_little_endian else ">"
    if struct.unpack_from(order + "HH", element) != _PIXEL_DATA:
        return b""  # floating point, which nothing here reads
    begins = 8 if syntax.is_implicit_VR else 12
    if begins == 12 and bytes(element[4:6]) not in _VRS:
        raise ValueError("the pixels have another type than bytes or words")
    (length,) = struct.unpack_from(order + "L", element, begins - 4)
    if length == _UNDEFINED:
        raise ValueError("uncompressed pixels are encapsulated")
    bits, size = _shape(instance.header)
    values = element[begins : begins + min(size, length)]
    kept = b"".join(_masked(values, _mask(instance.header, bits), bits // 8, order))
    kept += bytes(len(kept) % 2)
    return bytes(element[: begins - 4]) + struct.pack(order + "L", len(kept)) + kept


def _shape(header: Any) -> tuple[int, int]:
    """(bits of a value, bytes of all); no bytes when they cannot be told."""
    bits = _whole(header, "BitsAllocated", 0)
    frames, samples = _whole(header, "NumberOfFrames", 1), _whole(header, "SamplesPerPixel", 1)
    count = _whole(header, "Rows", 0) * _whole(header, "Columns", 0) * frames * samples
    return (bits, max(0, count) * bits // 8) if bits in (8, 16) else (8, 0)


def _mask(header: Any, bits: int) -> int:
    """The bits that a value has; none when the header names places outside it, which the worker refuses."""
    width = _whole(header, "BitsStored", bits)
    high = _whole(header, "HighBit", width - 1)
    fits = 1 <= width <= bits and width - 1 <= high < bits
    return (1 << width) - 1 << high - width + 1 if fits else 0


def _masked(values: memoryview, mask: int, width: int, order: str) -> Iterator[bytes]:
    if mask == (1 << 8 * width) - 1:
        yield bytes(values)
        return
    whole = mask.to_bytes(width, "little" if order == "<" else "big") * (_PIECE // width)
    everything = int.from_bytes(whole, "little")
    for at in range(0, len(values), _PIECE):
        piece = values[at : at + _PIECE]
        yield (int.from_bytes(piece, "little") & everything).to_bytes(len(piece), "little")


def _whole(header: Any, name: str, default: int) -> int:
    return int(header.get(name) or default)  # as the worker reads it
