"""The instances of a result as the gateway sends them: multipart/related, one part an instance."""

from __future__ import annotations

import io

import pydicom
from pydicom import Dataset

from client.errors import Unavailable


def read_instances(body: bytes) -> list[Dataset]:
    """Structured report and overlay; Unavailable when a proxy has put something else in their place."""
    line, found, rest = body.partition(b"\r\n")
    if not found or not line.startswith(b"--"):
        raise Unavailable(f"the result is no multipart body: {body[:40]!r}")
    parts = rest.split(b"\r\n" + line)
    if not parts[-1].startswith(b"--"):
        raise Unavailable("the result's multipart body breaks off")
    return [_read(part) for part in parts[:-1]]


def _read(part: bytes) -> Dataset:
    _, _, data = part.partition(b"\r\n\r\n")
    return pydicom.dcmread(io.BytesIO(data))


def points_at_input(instances: list[Dataset]) -> bool:
    """Whether a series other than our own is named as evidence: the input was DICOM."""
    ours = {str(one.SeriesInstanceUID) for one in instances}
    return any(str(series) not in ours for one in instances for series in _evidence(one))


def _evidence(instance: Dataset) -> list[str]:
    names = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
    return [
        series.SeriesInstanceUID
        for name in names
        for study in instance.get(name, [])
        for series in study.ReferencedSeriesSequence
    ]
