"""DICOM identifiers: where our instances belong, and what they point back at."""

from __future__ import annotations

from datetime import datetime

from pydicom import Dataset
from pydicom.uid import UID, MRImageStorage

from gateway.reports.report import Report

SERIES = {"structured": 9901, "capture": 9902}
"""Series numbers high enough to stand behind a scanner's own."""


def uid(report: Report, what: str) -> UID:
    """A UUID-derived UID (PS3.5, B.2) of a part of this report, the same at every rendering."""
    return UID(f"2.25.{report.derived_uuid(what).int}")


def study_uid(report: Report) -> UID:
    """The input's study; one of our own when the input was no DICOM."""
    return UID(report.stack.source.study) if report.stack.source else uid(report, "study")


def source_images(report: Report) -> list[Dataset]:
    """The input's instances as far as references need them; patient and study attributes are empty."""
    source = report.stack.source
    if source is None:
        return []
    return [
        _instance(source.study, source.series, source.sop_class, instance) for instance in source.instances
    ]


def _instance(study: str, series: str, sop_class: str, instance: str) -> Dataset:
    image = Dataset()
    image.StudyInstanceUID, image.SeriesInstanceUID = study, series
    image.SOPClassUID, image.SOPInstanceUID = sop_class or MRImageStorage, instance
    image.Modality = "MR"
    return with_empty_patient(image)


def with_empty_patient(image: Dataset) -> Dataset:
    """Attributes of type 2: they must be there and may be empty."""
    for name in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
        "StudyDate", "StudyTime", "ReferringPhysicianName",
    ):  # fmt: skip
        setattr(image, name, "")
    return image


def stamp(image: Dataset, when: datetime) -> None:
    """Every time in the instance becomes that of the result, so that one result makes one instance."""
    for name in ("Content", "InstanceCreation", "OfSecondaryCapture"):
        for kind, style in (("Date", "%Y%m%d"), ("Time", "%H%M%S")):
            keyword = f"{kind}{name}" if name.startswith("Of") else f"{name}{kind}"
            if keyword in image or not name.startswith("Of"):
                setattr(image, keyword, when.strftime(style))
    for equipment in image.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = when.strftime("%Y%m%d%H%M%S")
