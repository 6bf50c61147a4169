"""A little of every kind of upload, read once before strangers' files.

A child cannot open a file, not even a module. So whatever reading an upload imports is imported here, before
the fork. Every page that a child touches is copied or mapped anew (3 us on our machine), so the server for
single volumes imports little: no threading, for one, which tidies up in every child (130 pages).
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator

from gateway.uploads.sanitize.task import Kind, Task, perform

_MOST = 1 << 20


def warm_up(*, single: bool) -> None:
    """Sanitize a sample of every kind, and load every character set of DICOM; single: of volumes only."""
    for task, data in _volumes():
        perform(task, io.BytesIO(data), io.BytesIO())
    if single:
        return
    import logging

    logging.disable()  # what libraries say of a file may quote it, and our standard error is a log
    _load_character_sets()
    for task, data in _archives_and_instances():
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


def _load_character_sets() -> None:
    import codecs
    from contextlib import suppress

    from pydicom.charset import python_encoding

    for name in python_encoding.values():
        with suppress(LookupError):
            codecs.lookup(name)


def _archives_and_instances() -> Iterator[tuple[Task, bytes]]:
    from pydicom import uid

    syntaxes = (
        uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    )  # fmt: skip
    instances = [_instance(syntax) for syntax in syntaxes]
    yield Task(Kind.ARCHIVE, _MOST), _zip(*instances)
    yield Task(Kind.ARCHIVE, _MOST), _zip(b"neither")
    sizes = tuple(map(len, instances))
    yield Task(Kind.INSTANCES, _MOST, secret="s", sizes=sizes), b"".join(instances)  # noqa: S106  not one


def _zip(*files: bytes) -> bytes:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(files):
            archive.writestr(str(number), data)
    return out.getvalue()


def _instance(syntax: str) -> bytes:
    """With a value of each kind that may stay, and some that may not."""
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, MRImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, UID("1.2.3")
    data = FileDataset(io.BytesIO(), Dataset(), file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, "1.2.3"
    data.StudyInstanceUID = data.SeriesInstanceUID = "1.2.3"
    data.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    data.Modality, data.SeriesDescription, data.ImageType = "MR", "t1 mprage", ["ORIGINAL", "PRIMARY"]
    data.PatientName, data.PatientAge, data.PatientSex, data.StudyDate = "A^B", "071Y", "F", "20260101"
    data.PixelSpacing, data.ImagePositionPatient, data.InstanceNumber = [1, 1], [0.5, 0, 0], 1
    inner = Dataset()
    inner.PixelSpacing = [1, 1]
    outer = Dataset()
    outer.PixelMeasuresSequence = [inner]
    data.SharedFunctionalGroupsSequence = [outer]
    data.Rows = data.Columns = 2
    data.BitsAllocated, data.PixelData = 8, bytes(4)
    data["PixelData"].VR = "OB"
    out = io.BytesIO()
    implicit, little = UID(syntax).is_implicit_VR, UID(syntax).is_little_endian
    dcmwrite(out, data, force_encoding=True, implicit_vr=implicit, little_endian=little)
    return out.getvalue()
