"""One DICOM instance at the door: what it is, and the same instance without anything that names a person."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

CANNOT_UNDERSTAND, NOT_SUPPORTED, BAD_SYNTAX, MISMATCH, RESOURCES = 0xC000, 0x0122, 0xC122, 0xA900, 0xA700
"""Failure reasons of the Store transaction (PS3.18, 10.5.3; PS3.4, B.2.3)."""

KEPT = frozenset((
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "Modality", "ImageType", "ScanningSequence", "SequenceVariant", "MRAcquisitionType", "RepetitionTime",
    "EchoTime", "InversionTime", "FlipAngle", "EchoNumbers", "MagneticFieldStrength", "SliceThickness",
    "SpacingBetweenSlices", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleIntercept", "RescaleSlope",
    "PixelData",
))  # fmt: skip
"""The only attributes that go on to the blob store: geometry, acquisition, identifiers, pixels."""

_UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    ValueError,
    TypeError,
    EOFError,
    OverflowError,
    NotImplementedError,
)
_NAMED = ("SeriesDescription", "ProtocolName", "SequenceName", "ImageType")


class Unusable(Exception):  # noqa: N818  named for what happened
    """The instance cannot be taken; `reason` is a DICOM failure reason."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason, self.text = reason, text


@dataclass(frozen=True)
class Instance:
    """Identity and acquisition of an instance; times in ms, 0 when not given."""

    study: str
    series: str
    sop_class: str
    uid: str
    modality: str
    label: str
    sequences: frozenset[str]
    repetition_ms: float
    echo_ms: float
    inversion_ms: float


def open_instance(data: bytes) -> tuple[Instance, bytes]:
    """(what it is, the cleaned instance in PS3.10 file format); Unusable otherwise."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        instance = _describe(dataset)
        return instance, _cleaned(dataset)
    except (AttributeError, KeyError) as error:
        raise Unusable(CANNOT_UNDERSTAND, f"an attribute is missing: {error}") from error
    except _UNREADABLE as error:
        raise Unusable(CANNOT_UNDERSTAND, "not a readable DICOM file") from error


def _describe(dataset: pydicom.Dataset) -> Instance:
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        raise Unusable(BAD_SYNTAX, f"transfer syntax {syntax.name}; send uncompressed instances")
    return Instance(
        study=str(dataset.StudyInstanceUID),
        series=str(dataset.SeriesInstanceUID),
        sop_class=str(dataset.SOPClassUID),
        uid=str(dataset.SOPInstanceUID),
        modality=str(dataset.get("Modality") or ""),
        label=" ".join(str(dataset.get(name) or "") for name in _NAMED),
        sequences=frozenset(_several(dataset.get("ScanningSequence"))),
        repetition_ms=_number(dataset.get("RepetitionTime")),
        echo_ms=_number(dataset.get("EchoTime")),
        inversion_ms=_number(dataset.get("InversionTime")),
    )


def _several(value: object) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]  # type: ignore[attr-defined]


def _number(value: object) -> float:
    return float(str(value)) if value not in (None, "") else 0.0


def _cleaned(dataset: pydicom.Dataset) -> bytes:
    for element in list(dataset.keys()):
        if element.is_private or pydicom.datadict.keyword_for_tag(element) not in KEPT:
            del dataset[element]
    dataset.preamble = b"\0" * 128
    for name in ("SourceApplicationEntityTitle", "PrivateInformation", "PrivateInformationCreatorUID"):
        if name in dataset.file_meta:
            del dataset.file_meta[name]
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()
