"""What a PACS knows about a study and we do not: the patient. Our instances are completed from it."""

from __future__ import annotations

from pydicom import Dataset

FIELDS = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Attributes of the patient and study modules (PS3.3, C.7.1.1 and C.7.2.1) that an archive files by."""


def query(study_uid: str) -> Dataset:
    """A study-level identifier that asks for FIELDS (PS3.4, C.6.2.1)."""
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyInstanceUID = study_uid
    for name in FIELDS:
        setattr(asked, name, "")
    return asked


def complete(instance: Dataset, study: Dataset) -> None:
    """Give the instance the patient and study attributes that the PACS's answer holds."""
    for name in FIELDS:
        if name in study and study[name].value not in (None, ""):
            setattr(instance, name, study[name].value)
