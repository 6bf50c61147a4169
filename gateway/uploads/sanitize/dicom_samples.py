"""A little of every kind of archive and instance, to be read once before strangers' (warm_up.py)."""

from __future__ import annotations

import codecs
import io
import zipfile
from collections.abc import Iterator
from contextlib import suppress

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

from gateway.uploads.sanitize.task import Kind, Task

_SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
)  # fmt: skip
_MOST = 1 << 20


def know_character_sets() -> None:
    """Load every codec that a value may be in."""
    for name in python_encoding.values():
        with suppress(LookupError):
            codecs.lookup(name)


def samples() -> Iterator[tuple[Task, bytes]]:
    """What to do with what."""
    instances = [_instance(syntax) for syntax in _SYNTAXES]
    yield Task(Kind.ARCHIVE, _MOST), _zip(*instances)
    yield Task(Kind.ARCHIVE, _MOST), _zip(b"neither")
    sizes = tuple(map(len, instances))
    yield Task(Kind.INSTANCES, _MOST, secret="s", sizes=sizes), b"".join(instances)  # noqa: S106  not one


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
