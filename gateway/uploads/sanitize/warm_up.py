"""Everything that reading an upload imports, imported: a child cannot open a file, not even a module."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator

from gateway.uploads.sanitize.task import Kind, Task, perform

_MOST = 1 << 20


def warm_up(*, single: bool) -> None:
    """Clean a little of every kind, and know every character set of DICOM; single: of volumes only.

    Every page that a child touches is copied or mapped anew (3 us on our machine), so that imports little:
    no threading, for one, which tidies up in every child (130 pages).
    """
    for task, data in _volumes():
        perform(task, io.BytesIO(data), io.BytesIO())
    if single:
        return
    import logging

    from gateway.uploads.sanitize import dicom_samples

    logging.disable()  # what libraries say of a file may quote it, and our standard error is a log
    dicom_samples.know_character_sets()
    for task, data in dicom_samples.samples():
        perform(task, io.BytesIO(data), io.BytesIO())


def _volumes() -> Iterator[tuple[Task, bytes]]:
    volume = _nifti()
    yield Task(Kind.VOLUME, _MOST), volume
    yield Task(Kind.VOLUME, _MOST), volume[:-1]
    yield Task(Kind.VOLUME, 1), volume
    packed = gzip.compress(volume)
    yield Task(Kind.PACKED, _MOST), packed
    yield Task(Kind.PACKED, _MOST), packed[:-9]
    yield Task(Kind.PACKED, _MOST), packed[:-8] + bytes(8)
    yield Task(Kind.PACKED, _MOST), b"\x1f\x8b no gzip"


def _nifti() -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 2, 2, 2, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header) + bytes(8)
