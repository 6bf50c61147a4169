"""One DICOM instance at the door: what it is, and the same instance without anything that names a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pydicom
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLSLossless, RLELossless

from contracts.deidentify import DESCRIBED, Rules, patient_of
from contracts.dicom_file import UNREADABLE, UnreadableInstance
from contracts.dicom_file import open_instance as taken_apart
from contracts.patient import Patient
from imaging.instances import deidentified

CANNOT_UNDERSTAND, NOT_SUPPORTED, BAD_SYNTAX, MISMATCH, RESOURCES = 0xC000, 0x0122, 0xC122, 0xA900, 0xA700
"""Failure reasons of the Store transaction (PS3.18, 10.5.3; PS3.4, B.2.3)."""

COMPRESSED = (RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEG2000)
"""Compressed transfer syntaxes that preprocessing decodes."""

_NAMED = (*DESCRIBED, "ImageType")


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
    frames: int
    patient: Patient

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "sequences": sorted(self.sequences)}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Instance:
        """Read what `to_json` wrote."""
        patient, sequences = Patient(**told["patient"]), frozenset(told["sequences"])
        return cls(**{**told, "patient": patient, "sequences": sequences})


def open_instance(data: bytes, secret: str = "") -> tuple[Instance, bytes]:
    """(what it is, the cleaned instance in PS3.10 file format); Unusable otherwise.

    secret: UIDs are mapped with it in what is cleaned, not in what is told.
    """
    try:
        parts = taken_apart(data)
        syntax = parts.syntax
        if syntax.is_compressed and syntax not in COMPRESSED:
            raise Unusable(BAD_SYNTAX, f"transfer syntax {syntax.name}; send uncompressed instances")
        return _describe(parts.header), b"".join(deidentified(parts, Rules(secret)))
    except (AttributeError, KeyError) as error:
        raise Unusable(CANNOT_UNDERSTAND, f"an attribute is missing: {error}") from error
    except (UnreadableInstance, *UNREADABLE) as error:
        raise Unusable(CANNOT_UNDERSTAND, "not a readable DICOM file") from error


def _describe(dataset: pydicom.Dataset) -> Instance:
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
        frames=int(dataset.get("NumberOfFrames", 1) or 1),
        patient=patient_of(dataset),
    )


def _several(value: object) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]  # type: ignore[attr-defined]


def _number(value: object) -> float:
    return float(str(value)) if value not in (None, "") else 0.0
