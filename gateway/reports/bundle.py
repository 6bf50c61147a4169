"""Structured report and overlay in one answer: multipart/related of two instances, as DICOMweb does it."""

from __future__ import annotations

from gateway.reports import capture, structured
from gateway.reports.report import Report

BOUNDARY = "hippocamp-instances"
MEDIA_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def render(report: Report) -> bytes:
    """PS3.18, 8.6.1.2: one part an instance."""
    parts = (render(report) for render in (structured.render, capture.render))
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()
