"""Zip archives as hostile input: entries are counted and sized first, and never written by their names."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from isal import isal_zlib

from contracts.errors import CorruptFile, TooLarge, TruncatedFile
from imaging.reading import reading

MAX_ENTRIES = 4096
"""Entries in a zip archive."""

MAX_DIRECTORY = 4 << 20
"""Bytes of a zip archive's directory: 1,000 for each entry there may be."""

MAX_ENTRY = 1 << 30
"""Bytes one zip entry may unpack to."""

MAX_ARCHIVE = 3 << 29
"""Bytes all zip entries together may unpack to."""

MAX_RATIO = 1100
"""Unpacked to packed bytes of one zip entry: the most deflate can reach is 1032."""

LOCAL = struct.Struct("<4s5H3L2H")
"""A zip entry's local header: signature, five shorts, crc and sizes, lengths of name and extra field."""

IGNORED = ("__MACOSX/", ".DS_Store", "Thumbs.db", "DICOMDIR")


class Archive:
    """The entries of one zip file that may hold image data, each unpacked in memory within its own size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, file.seek(0, 2)
        with reading():
            try:
                with zipfile.ZipFile(cast("BinaryIO", _Bounded(file))) as directory:
                    found = directory.infolist()
            except (ValueError, NotImplementedError, struct.error) as error:
                raise CorruptFile(f"the zip archive cannot be read ({error})") from error
        self.entries = [entry for entry in found if not _ignored(entry)]
        _check(self.entries)

    def unpack(self, entry: zipfile.ZipInfo) -> bytes:
        """The entry's bytes, size and checksum verified; igzip is three times as fast as zipfile."""
        if entry.header_offset < 0 or entry.header_offset + entry.compress_size > self._size:
            raise CorruptFile("a zip entry lies outside the archive")
        self._file.seek(entry.header_offset)
        local = self._file.read(LOCAL.size)
        if len(local) < LOCAL.size or local[:4] != b"PK\x03\x04":
            raise CorruptFile("a zip entry's header is damaged")
        *_, name_length, extra_length = LOCAL.unpack(local)
        self._file.seek(name_length + extra_length, 1)
        packed = self._file.read(entry.compress_size)
        if len(packed) < entry.compress_size:
            raise TruncatedFile("the zip archive ends inside an entry")
        with reading():
            data = _inflate(packed, entry)
        if len(data) != entry.file_size or isal_zlib.crc32(data) != entry.CRC:
            raise CorruptFile("a zip entry does not match its size and checksum")
        return data

    @contextmanager
    def opened(self, entry: zipfile.ZipInfo) -> Iterator[BinaryIO]:
        """The entry as a stream, for one too large to be whole in memory; its end verifies the checksum."""
        with reading():
            try:
                archive = zipfile.ZipFile(cast("BinaryIO", _Bounded(self._file)))
                stream = archive.open(entry)
            except (ValueError, NotImplementedError, struct.error) as error:
                raise CorruptFile(f"a zip entry cannot be read ({error})") from error
        with archive, stream:
            yield cast("BinaryIO", stream)


class _Bounded:
    """A file as zipfile reads a directory from it: whole, in one call, of whatever length the file claims."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.seekable, self._read = file.seek, file.tell, file.seekable, file.read

    def read(self, size: int = -1) -> bytes:
        """The bytes, unless a directory is asked for that holds more entries than there may be."""
        if size > MAX_DIRECTORY:
            raise TooLarge(f"the zip archive's directory takes {size} bytes, more than {MAX_DIRECTORY}")
        return self._read(size)


def _ignored(entry: zipfile.ZipInfo) -> bool:
    return entry.is_dir() or any(part in entry.filename for part in IGNORED)


def _inflate(packed: bytes, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type == zipfile.ZIP_STORED:
        return packed
    inflater = isal_zlib.decompressobj(wbits=-15)
    return bytes(inflater.decompress(packed, entry.file_size + 1))


def _check(entries: list[zipfile.ZipInfo]) -> None:
    if not entries:
        raise CorruptFile("the zip archive holds no file")
    if len(entries) > MAX_ENTRIES:
        raise TooLarge(f"the zip archive holds {len(entries)} files, more than {MAX_ENTRIES}")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_ARCHIVE or max(entry.file_size for entry in entries) > MAX_ENTRY:
        raise TooLarge(f"the zip archive unpacks to {total} bytes, more than {MAX_ARCHIVE}")
    for entry in entries:
        if entry.flag_bits & 1:
            raise CorruptFile("the zip archive is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CorruptFile(f"zip compression method {entry.compress_type} is not supported")
        if entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
            raise TooLarge("a zip entry unpacks to more than deflate can hold")
