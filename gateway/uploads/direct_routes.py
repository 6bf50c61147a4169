"""Leave to put a volume straight into the bucket."""

from __future__ import annotations

from flask import Blueprint

from contracts.errors import DiskNearlyFull, QuotaExceeded, StoreUnavailable, TooLarge
from gateway.access.auth import current_site
from gateway.http.errors import NoDirectUploads
from gateway.http.operations import Operation, ViewAnswer, operation
from gateway.resources import resources
from gateway.uploads.direct import open_ticket
from gateway.uploads.direct_schemas import UploadRequest, UploadTicket

blueprint = Blueprint("uploads", __name__, url_prefix="/v1/uploads")


@blueprint.post("")
@operation(
    Operation(
        "Open a direct upload",
        "jobs",
        {201: UploadTicket},
        body=UploadRequest,
        errors=(TooLarge, QuotaExceeded, NoDirectUploads, StoreUnavailable, DiskNearlyFull),
    )
)
def create(body: UploadRequest) -> ViewAnswer:
    """An address that takes these very bytes, for a quarter of an hour; then submit its `id` to `/v1/jobs`.

    What is not submitted within half an hour is forgotten, and its bytes are deleted.
    """
    found = open_ticket(resources(), site=current_site(), size_bytes=body.size_bytes, sha256=body.sha256)
    ticket = UploadTicket(
        id=found.ticket.id,
        method="PUT",
        url=found.put.url,
        headers=found.put.headers,
        expires_at=found.until,
    )
    return ViewAnswer(ticket, 201)
