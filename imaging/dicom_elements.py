"""How many data elements a DICOM header holds, counted before a library makes objects of them.

Eight bytes are enough for an element without a value, so that a header of 8 MB may hold a million of them,
which a few hundred packed bytes describe. Reading one takes 2 to 4 microseconds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MOST_ELEMENTS = 200_000
"""Of one instance, at every depth: 512 frames with 300 private elements each have about 160,000."""

MOST_OF_UPLOAD = 1_000_000
"""Of all instances of one upload: 4,096 of them with 240 each."""

_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations whose length takes four bytes (PS3.5, table 7.1-1)."""
_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xE000
_DELIMITERS = 0xFFFE
_PIXELS = 0x7FE0


class TooManyElements(Exception):  # noqa: N818  named for what happened
    """The header, or the upload, holds more data elements than are read."""

    def __str__(self) -> str:
        return f"an instance has more than {MOST_ELEMENTS} data elements, or all together {MOST_OF_UPLOAD}"


@dataclass
class ElementBudget:
    """Elements that the instances of one upload may still have."""

    left: int = MOST_OF_UPLOAD

    def spend(self, header: memoryview, *, is_implicit: bool, is_little: bool) -> None:
        """Count the header's elements; TooManyElements when one instance, or all of them, have too many."""
        most = min(MOST_ELEMENTS, self.left)
        self.left -= count_elements(header, most, is_implicit=is_implicit, is_little=is_little)


def count_elements(header: memoryview, most: int, *, is_implicit: bool, is_little: bool) -> int:
    """Elements, items and delimiters up to the end of what can be read; TooManyElements beyond `most`.

    Sequences are entered, values skipped. What is damaged ends the count: the library refuses it later.
    """
    order, at, count = "<" if is_little else ">", 0, 0
    while at + 8 <= len(header):
        count += 1
        if count > most:
            raise TooManyElements
        (group,) = struct.unpack_from(order + "H", header, at)
        if group == _DELIMITERS:
            at += 8
            continue
        begins, length, is_sequence = _value(header, at, order, is_implicit=is_implicit)
        if group == _PIXELS and length == _UNDEFINED:
            break
        at = begins if is_sequence or length == _UNDEFINED else begins + length
    return count


def _value(header: memoryview, at: int, order: str, *, is_implicit: bool) -> tuple[int, int, bool]:
    """(place of the value, its length, whether it is a sequence) of the element at `at`."""
    kind = bytes(header[at + 4 : at + 6])
    if is_implicit or not kind.isupper():  # pydicom, too, takes an element without letters as implicit
        (length,) = struct.unpack_from(order + "L", header, at + 4)
        return at + 8, length, _begins_with_item(header, at + 8, order)
    if kind not in _LONG:
        (short,) = struct.unpack_from(order + "H", header, at + 6)
        return at + 8, short, False
    if at + 12 > len(header):
        return len(header), 0, False
    (length,) = struct.unpack_from(order + "L", header, at + 8)
    is_sequence = kind == b"SQ" or (kind == b"UN" and _begins_with_item(header, at + 12, order))
    return at + 12, length, is_sequence


def _begins_with_item(header: memoryview, at: int, order: str) -> bool:
    if at + 4 > len(header):
        return False
    return struct.unpack_from(order + "HH", header, at) == (_DELIMITERS, _ITEM)
