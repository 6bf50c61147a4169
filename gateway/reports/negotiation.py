"""Which format a caller wants its result in (RFC 9110, 12.5.1), and the answer in that format."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType

from flask import Response
from werkzeug.datastructures import MIMEAccept

from contracts.job import Job
from gateway.http.errors import NotAcceptable
from gateway.reports.report import gather
from gateway.resources import resources

JSON = "application/json"
FORMATS = MappingProxyType(
    {
        "application/fhir+json": ("fhir", "fhir.json"),
        "application/dicom": ("structured", "sr.dcm"),
        "multipart/related": ("bundle", "multipart"),
        "application/pdf": ("pdf", "pdf"),
    }
)
"""Media type -> module of this package that renders it, and a saved file's suffix. JSON is the default."""


def wanted(accept: MIMEAccept) -> str:
    """The caller's best-liked format; JSON for wildcards and none named. NotAcceptable for only others."""
    if not accept:
        return JSON
    for value, quality in accept:
        media = value.partition(";")[0].strip().lower()
        if quality > 0 and media in FORMATS:
            return media
        if quality > 0 and media in {JSON, "application/*", "*/*"}:
            return JSON
    raise NotAcceptable(f"The result comes as {JSON}, {', '.join(FORMATS)}; not as {accept.to_header()}")


def render(job: Job, media: str) -> Response:
    """A succeeded job as a document of that type; its module is loaded when it is first asked for."""
    name, suffix = FORMATS[media]
    module = import_module(f"gateway.reports.{name}")
    data = module.render(gather(job, resources().blobs))
    shown = f'attachment; filename="{job.id}.{suffix}"'
    return Response(
        data, content_type=module.MEDIA_TYPE, headers={"Content-Disposition": shown, "Vary": "Accept"}
    )
