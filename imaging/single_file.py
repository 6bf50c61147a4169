"""A single DICOM file, plain or gzipped, that stands for an archive of one entry."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from contracts.errors import BadSeries, TooLarge
from imaging.archive import Archive
from imaging.contents import Entries, Member, gunzipped
from imaging.described import Described
from imaging.limits import MAX_DICOM_FILE

ZIP, GZIP = b"PK\x03\x04", b"\x1f\x8b"


class SingleFile:
    """The entries of what is no archive: one, of a name that tells nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        entry = zipfile.ZipInfo("instance.dcm")
        entry.file_size = len(data)
        self.entries = [entry]

    def unpack(self, _: zipfile.ZipInfo) -> bytes:
        """The file's bytes."""
        return self._data

    @contextmanager
    def opened(self, _: zipfile.ZipInfo) -> Iterator[BinaryIO]:
        """The same as a stream."""
        yield io.BytesIO(self._data)


def entries_of(file: BinaryIO) -> Entries:
    """The archive, or the single file, by its first bytes; any InputError."""
    file.seek(0)
    start = file.read(4)
    if start == ZIP:
        return Archive(file)
    size = file.seek(0, 2)
    if size > MAX_DICOM_FILE:
        raise TooLarge(f"A DICOM file of {size} bytes; {MAX_DICOM_FILE} are taken")
    file.seek(0)
    data = file.read()
    return SingleFile(gunzipped(data, MAX_DICOM_FILE) if start.startswith(GZIP) else data)


def refuse_slice(member: Member, described: Described) -> None:
    """BadSeries for a file of one image that came alone."""
    if isinstance(member.archive, SingleFile) and described.images == 1:
        raise BadSeries("This DICOM file is one slice. Send the whole series as a zip archive")
