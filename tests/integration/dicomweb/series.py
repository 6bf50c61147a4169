"""Made-up MR series, with a patient's name where scanners write it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

CANARY = "Canary^Theodora"


def slices(series: str, count: int = 20, **about: Any) -> list[FileDataset]:
    """`count` instances of a T1 series of the study 1.2.3; `about` overrides attributes."""
    return [_slice(series, n, about) for n in range(count)]


def _slice(series: str, n: int, about: dict[str, Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, f"{series}.{n + 1}"
    one = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = MRImageStorage, f"{series}.{n + 1}"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = "1.2.3", series, "1.2.3.99"
    one.PatientName, one.PatientID, one.PatientBirthDate = CANARY, "CANARY-7", "19400101"
    one.InstitutionName, one.StudyDate, one.AccessionNumber = "Canary Hospital", "20261122", "CANARY-9"
    one.add_new((0x0029, 0x0010), "LO", "CANARY CREATOR")
    one.Modality, one.SeriesDescription = "MR", f"t1_mprage_sag {CANARY}"
    one.ScanningSequence, one.RepetitionTime, one.EchoTime, one.InversionTime = ["GR", "IR"], 2300, 2.9, 900
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, float(n)], [1, 0, 0, 0, 1, 0]
    one.PixelSpacing, one.SliceThickness, one.InstanceNumber = [1, 1], 1, n + 1
    one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = 16, 12, 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
    one.PixelData = np.random.default_rng(n).integers(0, 4000, (16, 12)).astype("<u2").tobytes()
    for name, value in about.items():
        setattr(one, name, value)
    return one


def encoded(one: FileDataset) -> bytes:
    """PS3.10 bytes."""
    out = io.BytesIO()
    pydicom.dcmwrite(out, one)
    return out.getvalue()
