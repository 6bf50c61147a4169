"""A DICOM instance without what names a person: PS3.15, annex E, by a list of what may stay.

The standard's basic profile lists what must go. We list what may stay, which also drops private elements and
whatever a later edition adds. Each value that stays is a number, a UID, or a word of a vocabulary of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VM, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset

from contracts.series_words import descriptor, label_of
from imaging.dicom_file import Instance
from imaging.patient import Patient

UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""Identifiers a report needs to point back; mapped when there is a secret."""

NUMBERS = frozenset((
    "RepetitionTime", "EchoTime", "EffectiveEchoTime", "InversionTime", "FlipAngle", "EchoNumbers",
    "MagneticFieldStrength", "SliceThickness", "SpacingBetweenSlices", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel", "NumberOfFrames", "Rows", "Columns",
    "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration",
    "RescaleIntercept", "RescaleSlope", "InStackPositionNumber", "TemporalPositionIndex", "SliceLocation",
    "PixelAspectRatio", "SeriesNumber", "AcquisitionNumber", "ImagesInAcquisition",
    "NumberOfSeriesRelatedInstances",
))  # fmt: skip
"""Geometry, acquisition and the shape of the pixels."""

CODES: dict[str, frozenset[str]] = {
    "Modality": frozenset("MR CT PT NM US CR DX MG XA RF OT SC SR SEG REG PR KO DOC".split()),  # noqa: SIM905
    "ScanningSequence": frozenset(("SE", "IR", "GR", "EP", "RM")),
    "SequenceVariant": frozenset(("SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE")),
    "MRAcquisitionType": frozenset(("2D", "3D")),
    "PhotometricInterpretation": frozenset((
        "MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT",
        "YBR_RCT",
    )),
    "ImageType": frozenset((
        "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "M", "P", "R", "I", "ND", "NORM", "DIS2D", "DIS3D",
        "M_FFE", "M_SE", "FFE", "SE", "MPR", "UNI", "INV1", "INV2", "MAGNITUDE", "PHASE", "PHASE MAP", "REAL",
        "IMAGINARY", "SUB", "SUBTRACTION", "REFORMATTED", "RESAMPLED", "PROJECTION IMAGE", "MIP", "MIN IP",
        "LOCALIZER", "ADC", "TRACEW", "FA", "OTHER", "NONE", "MIXED", "VOLUME", "T1", "T1 MAP", "CSA MPR",
    )),
    "ComplexImageComponent": frozenset(("MAGNITUDE", "PHASE", "REAL", "IMAGINARY", "MIXED")),
    "PatientPosition": frozenset("HFS HFP HFDR HFDL FFS FFP FFDR FFDL".split()),  # noqa: SIM905
}  # fmt: skip
CODES["FrameType"] = CODES["ImageType"]
"""Coded values that stay; any other becomes the words of it that `descriptor` knows, or OTHER."""

MOST = 1e9
"""Magnitude that numbers may have."""

LEAST = {"FL": 1e-9, "FD": 1e-28}
"""Magnitude that binary numbers must have unless they are zero: the bytes of digits and blanks read as
smaller ones. Numbers written as text have no such bound: a cosine of 2.05e-10 or a position of -1e-14 is
geometry."""

SEQUENCES = frozenset((
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PlaneOrientationSequence",
    "PlanePositionSequence", "PixelMeasuresSequence", "PixelValueTransformationSequence",
    "FrameContentSequence", "MREchoSequence", "MRTimingAndRelatedParametersSequence",
    "MRImageFrameTypeSequence",
))  # fmt: skip
"""Sequences of enhanced images that hold geometry; the same rules hold inside them."""

DESCRIBED = ("SeriesDescription", "ProtocolName", "SequenceName")
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
)
"""What is written into each instance, besides the options that rules decide (PS3.16, CID 7050)."""

_UID = re.compile(r"[0-9.]{1,64}")
MOST_AGE = 90
"""Older people are told apart by their age: they all count as this old."""


def agent_given(header: Dataset) -> bool:
    """Whether the header names a contrast agent (PS3.3, C.7.6.4, C.8.13.2)."""
    if header.get("ContrastBolusAgentSequence"):
        return True
    return not _NO_AGENT.fullmatch(str(header.get("ContrastBolusAgent") or ""))


_NO_AGENT = re.compile(r"\W*(?:none|no|non|nein|n/?a|unknown|without|ohne.*|kein.*|0)?\W*", re.IGNORECASE)
_GE_COMPONENTS = {1: "PHASE", 2: "REAL", 3: "IMAGINARY"}


def component_of(header: Dataset) -> str:
    """PHASE, REAL or IMAGINARY where GE says so, which it does in a private element only; else ""."""
    block = str(header[0x0043, 0x0010].value) if (0x0043, 0x0010) in header else ""
    if not block.startswith("GEMS_PARM_01") or (0x0043, 0x102F) not in header:
        return ""
    value = header[0x0043, 0x102F].value
    return _GE_COMPONENTS.get(value, "") if isinstance(value, int) else ""


def pseudonym(uid: str, secret: str) -> str:
    """The same other UID for the same UID and secret (PS3.5, B.2); without it nobody can tell which."""
    digest = hmac.new(secret.encode(), uid.encode(), hashlib.sha256).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def patient_of(dataset: Dataset) -> Patient:
    """Age in years and sex, as far as the header tells them in the standard's form."""
    found = re.fullmatch(r"(\d{3})([YMWD])", str(dataset.get("PatientAge") or "").strip())
    years = int(found[1]) if found and found[2] == "Y" else 0
    sex = str(dataset.get("PatientSex") or "").strip().upper()
    return Patient(min(years, MOST_AGE), sex if sex in {"M", "F", "O"} else "")


@dataclass(frozen=True)
class Rules:
    """What may be decided. secret: UIDs are mapped with it, "" keeps them. keep: any of `age`, `sex`."""

    secret: str = ""
    keep: frozenset[str] = frozenset()


def header_without_identity(instance: Instance, rules: Rules) -> bytes:
    """The header in PS3.10 file format, cleaned; raises what UNREADABLE lists, and OSError.

    The doors call imaging.instances.deidentify, which cleans the pixels too.
    """
    clean = _clean(instance.header, rules.secret)
    _describe(clean, instance.header, rules)
    whole = FileDataset(
        io.BytesIO(), clean, file_meta=pydicom.dataset.FileMetaDataset(), preamble=b"\0" * 128
    )
    whole.file_meta.TransferSyntaxUID = instance.syntax
    whole.file_meta.MediaStorageSOPClassUID = clean.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
    out = io.BytesIO()
    pydicom.dcmwrite(out, whole, enforce_file_format=True)
    return out.getvalue()


def _clean(dataset: Dataset, secret: str) -> Dataset:
    clean = _without_identity(dataset)
    for name in ("SOPClassUID", *UIDS):
        if value := str(dataset.get(name) or ""):
            if not _UID.fullmatch(value):
                raise ValueError(f"{name} is no UID")
            setattr(clean, name, pseudonym(value, secret) if secret and name in UIDS else value)
    return clean


def _without_identity(dataset: Dataset) -> Dataset:
    """Numbers, codes and the sequences of geometry; the same rules hold at every depth."""
    clean = Dataset()
    for tag in list(dataset.keys()):
        name = "" if tag.is_private else keyword_for_tag(tag)
        if name in SEQUENCES:
            setattr(clean, name, [_without_identity(item) for item in dataset[tag].value or []])
        elif name in NUMBERS or name in CODES:
            _keep(clean, name, dataset[tag])
    return clean


def _keep(clean: Dataset, name: str, element: DataElement) -> None:
    value = element.value
    if value is None or value == "":
        return
    if name in NUMBERS:
        if _are_numbers(value, _most_values(name), LEAST.get(element.VR, 0.0)):
            setattr(clean, name, value)
    else:
        words = [value] if isinstance(value, str) else [str(word) for word in value]
        setattr(clean, name, [_coded(word, CODES[name]) for word in words])


def _are_numbers(value: Any, most: int, least: float) -> bool:
    """Whether these are so many numbers at most, of a size that geometry and acquisition have.

    Text under a binary type reads as numbers too: as too many of them, or as absurd ones ("Zqxcanar" as a
    double is 3e243).
    """
    if isinstance(value, bytes):
        return False
    try:
        found = [float(one) for one in ([value] if isinstance(value, (int, float, str)) else value)]
    except (TypeError, ValueError, OverflowError):
        return False
    return len(found) <= most and all(one == 0 or least <= abs(one) <= MOST for one in found)


def _most_values(name: str) -> int:
    """By the standard's value multiplicity: 1, 3, 6; where it is open, 16."""
    stated = dictionary_VM(name)
    return int(stated) if stated.isdigit() else 16


def _coded(word: str, known: frozenset[str]) -> str:
    if word.strip() in known:
        return word.strip()
    return descriptor(word).upper().replace("+", "").replace("-", "")[:16].strip() or "OTHER"


def _describe(clean: Dataset, header: Dataset, rules: Rules) -> None:
    clean.PatientName = clean.PatientID = ""
    kept = patient_of(header).only(rules.keep)
    if kept.age_years:
        clean.PatientAge = f"{kept.age_years:03d}Y"
    if kept.sex:
        clean.PatientSex = kept.sex
    if agent_given(header):
        clean.ContrastBolusAgent = "CONTRAST"  # a dummy: that one was given, not which
    if (component := component_of(header)) and "ComplexImageComponent" not in clean:
        clean.ComplexImageComponent = component
    if label := label_of(*(str(header.get(name) or "") for name in DESCRIBED)):
        clean.SeriesDescription = label[:64]
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethodCodeSequence = [_code(*method) for method in _methods(rules, kept)]


def _methods(rules: Rules, kept: Patient) -> Iterator[tuple[str, str]]:
    yield from METHODS
    if not rules.secret:
        yield "113110", "Retain UIDs Option"
    if kept != Patient():
        yield "113108", "Retain Patient Characteristics Option"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
