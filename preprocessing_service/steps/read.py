"""Step 1: a file of any supported format, recognised by its content, becomes a Volume."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from contracts.archive import Archive, suffix_of
from contracts.dicom_file import looks_like_dicom
from contracts.errors import BadSeries, NotAVolume
from contracts.reading import reading
from preprocessing_service import limits
from preprocessing_service.formats.analyze import looks_like_analyze, read_analyze
from preprocessing_service.formats.dicom import read_dicom
from preprocessing_service.formats.mgh import looks_like_mgh, read_mgh
from preprocessing_service.formats.nifti import read_nifti, version_of
from preprocessing_service.formats.streams import (
    GZIP,
    ZIP,
    first_bytes,
    open_stream,
    read_exactly,
    unpacked,
)
from preprocessing_service.volume import Volume

PEEK = 352
SINGLE = (".nii", ".mgh", ".mgz", ".gz")


def read(path: Path) -> Volume:
    """The volume in `path`: NIfTI-1/2, MGH/MGZ (both also gzipped), or a zip of a DICOM series, of an
    Analyze or NIfTI pair, or of one such file. Raises InputError subclasses only."""
    if first_bytes(path, 4) == ZIP:
        with path.open("rb") as file:
            return _read_archive(Archive(file))
    with open_stream(path) as stream, reading():
        start = stream.read(PEEK)
    if not start:
        raise NotAVolume("the gzip file holds no bytes")
    if looks_like_dicom(start):
        raise BadSeries("one DICOM file is one slice; send the whole series as a zip archive")
    if not (version_of(start) or looks_like_mgh(start)):
        wanted = "a pair of .hdr and .img goes into one zip archive" if looks_like_analyze(start) else _WANTED
        raise NotAVolume(f"the content starts with {start[:8].hex()}; {wanted}")
    with open_stream(path) as stream:
        return read_nifti(stream) if version_of(start) else read_mgh(stream)


_WANTED = "NIfTI, MGH/MGZ, or a zip with a DICOM series or an Analyze pair is needed"


def _read_archive(archive: Archive) -> Volume:
    entries = {suffix_of(entry): entry for entry in archive.entries}
    if len(archive.entries) == 2 and set(entries) == {".hdr", ".img"}:
        return _read_pair(archive, entries[".hdr"], entries[".img"])
    if len(archive.entries) == 1 and suffix_of(archive.entries[0]) in SINGLE:
        return _read_single(archive)
    return read_dicom(archive)


def _read_pair(archive: Archive, header: zipfile.ZipInfo, image: zipfile.ZipInfo) -> Volume:
    with archive.opened(header) as stream:
        start = io.BytesIO(read_exactly(stream, min(header.file_size, limits.MAX_HEADER)))
    nifti = version_of(start.getvalue())
    if not nifti and not looks_like_analyze(start.getvalue()):
        raise NotAVolume("the .hdr in the zip archive is neither Analyze nor NIfTI")
    with archive.opened(image) as stream:
        return read_nifti(start, stream) if nifti else read_analyze(start, stream)


def _read_single(archive: Archive) -> Volume:
    (entry,) = archive.entries
    with archive.opened(entry) as file:
        packed = read_exactly(file, min(2, entry.file_size)) == GZIP
    with _single(archive, entry, packed=packed) as stream, reading():
        start = stream.read(PEEK)
    if not (version_of(start) or looks_like_mgh(start)):
        raise NotAVolume("the file in the zip archive is no NIfTI or MGH")
    with _single(archive, entry, packed=packed) as stream:
        return read_nifti(stream) if version_of(start) else read_mgh(stream)


@contextmanager
def _single(archive: Archive, entry: zipfile.ZipInfo, *, packed: bool) -> Iterator[BinaryIO]:
    with archive.opened(entry) as file:
        if packed:
            with unpacked(file) as stream:
                yield stream
        else:
            yield file
