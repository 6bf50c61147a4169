"""Everything that reading an upload imports, imported: a child cannot open a file, not even a module."""

from __future__ import annotations

import codecs
import gzip
import io
import struct
import zipfile
from contextlib import suppress
from typing import Any

from pydicom import dcmwrite
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)

from gateway.cleaning.task import Kind, Task, perform

_SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
)  # fmt: skip
_MOST = 1 << 20


def warm_up() -> None:
    """Clean a little of every kind, and know every character set of DICOM."""
    for name in python_encoding.values():
        with suppress(LookupError):
            codecs.lookup(name)
    volume = _nifti()
    _run(Kind.VOLUME, volume)
    _run(Kind.PACKED, gzip.compress(volume))
    _run(Kind.PACKED, b"\x1f\x8b no gzip")
    instances = [_instance(syntax) for syntax in _SYNTAXES]
    _run(Kind.ARCHIVE, _zip(*instances))
    _run(Kind.ARCHIVE, _zip(b"neither"))
    _run(Kind.INSTANCES, b"".join(instances), sizes=tuple(map(len, instances)), secret="s")  # noqa: S106  not one


def _run(kind: Kind, data: bytes, **more: Any) -> None:
    perform(Task(kind, _MOST, **more), io.BytesIO(data), io.BytesIO())


def _nifti() -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 2, 2, 2, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header) + bytes(8)


def _zip(*files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(files):
            archive.writestr(str(number), data)
    return out.getvalue()


def _instance(syntax: str) -> bytes:
    """With a value of each kind that may stay, and some that may not."""
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
    told = UID(syntax)
    plain = {"implicit_vr": told.is_implicit_VR, "little_endian": told.is_little_endian}
    dcmwrite(out, data, force_encoding=True, **plain)
    return out.getvalue()
