"""One DICOM instance at the door: what it is, and the same instance without anything that names a person."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pydicom
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from imaging.deidentify import Rules, patient_of
from imaging.described import Described, describe
from imaging.dicom_elements import ElementBudget
from imaging.dicom_file import UNREADABLE, OverlongHeader, UnreadableInstance
from imaging.dicom_file import open_instance as taken_apart
from imaging.instances import deidentified
from imaging.limits import MAX_DICOM_FILE
from imaging.patient import Patient
from imaging.places import Place, place_of
from imaging.series import Why

CANNOT_UNDERSTAND, NOT_SUPPORTED, BAD_SYNTAX, MISMATCH, RESOURCES = 0xC000, 0x0122, 0xC122, 0xA900, 0xA700
"""Failure reasons of the Store transaction (PS3.18, 10.5.3; PS3.4, B.2.3)."""

COMPRESSED = (RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, JPEG2000)
"""Compressed transfer syntaxes that preprocessing decodes."""


class Unusable(Exception):  # noqa: N818  named for what happened
    """The instance cannot be taken; `reason` is a DICOM failure reason."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason, self.text = reason, text


@dataclass(frozen=True)
class Instance:
    """Identity and acquisition of an instance. person: tells people of one study apart; names nobody."""

    study: str
    series: str
    sop_class: str
    uid: str
    described: Described
    patient: Patient
    person: str = ""
    place: Place = field(default_factory=Place)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        plain = {"described": self.described.to_json(), "patient": vars(self.patient)}
        return {**vars(self), **plain, "place": self.place.to_list()}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Instance:
        """Read what `to_json` wrote."""
        described, patient = Described.of(told["described"]), Patient(**told["patient"])
        place = Place.of(told["place"])
        return cls(**{**told, "described": described, "patient": patient, "place": place})


def open_instance(
    data: bytes, secret: str = "", *, budget: ElementBudget | None = None
) -> tuple[Instance, bytes]:
    """(what it is, the cleaned instance in PS3.10 file format); Unusable otherwise.

    secret: UIDs are mapped with it in what is cleaned, not in what is told. budget: one for the request. What
    is no MR image of ours is described and not kept: b"".
    """
    try:
        parts = taken_apart(data, most_bytes=MAX_DICOM_FILE, budget=budget)
        instance = _identified(parts.header, describe(parts.header), pixels=bool(len(parts.pixels)))
        if instance.described.unfit:
            return instance, b""
        syntax = parts.syntax
        if syntax.is_compressed and syntax not in COMPRESSED:
            raise Unusable(BAD_SYNTAX, f"transfer syntax {syntax.name}; send uncompressed instances")
        return instance, b"".join(deidentified(parts, Rules(secret)))
    except (AttributeError, KeyError) as error:
        raise Unusable(CANNOT_UNDERSTAND, f"an attribute is missing: {error}") from error
    except OverlongHeader as error:
        raise Unusable(RESOURCES, f"the header is too long: {error}") from error
    except (UnreadableInstance, *UNREADABLE) as error:
        raise Unusable(CANNOT_UNDERSTAND, "not a readable DICOM file") from error


def _identified(dataset: pydicom.Dataset, described: Described, *, pixels: bool) -> Instance:
    if not (described.unfit or pixels):
        described = replace(described, unfit=str(Why.NO_PIXELS))
    return Instance(
        study=str(dataset.StudyInstanceUID),
        series=str(dataset.SeriesInstanceUID),
        sop_class=str(dataset.SOPClassUID),
        uid=str(dataset.SOPInstanceUID),
        described=described,
        patient=patient_of(dataset),
        person=_person(dataset),
        place=place_of(dataset, described),
    )


def _person(dataset: pydicom.Dataset) -> str:
    """A digest that lives as long as the request; of one made of it some bits are stored (collecting.py)."""
    known = str(dataset.get("PatientID") or dataset.get("PatientName") or "").strip().upper()
    return hashlib.sha256(known.encode()).hexdigest() if known else ""
