"""Erasing a job: nothing of it stays but the fact that it was erased."""

from __future__ import annotations

import logging

from flask import Blueprint

from contracts.errors import StoreUnavailable
from gateway.access.auth import own_job
from gateway.http.errors import NO_JOB
from gateway.http.operations import Operation, ViewAnswer, operation
from gateway.images import artifacts
from gateway.resources import resources

_log = logging.getLogger("hippocamp.gateway")

blueprint = Blueprint("erase", __name__, url_prefix="/v1/jobs")


@blueprint.delete("/<job_id>")
@operation(Operation("Erase a job", "jobs", {204: None}, errors=(*NO_JOB, StoreUnavailable)))
def erase(job_id: str) -> ViewAnswer:
    """End the job if it runs; forget its record, result, deliveries and blobs. Its id answers 410 then.

    Jobs of the site with the very same bytes keep what they share with it, until the last of them is erased.
    The record goes first, in one step; blobs that cannot be deleted now are deleted by the reconciler.
    """
    to, job = resources(), own_job(job_id)
    folders = to.job_store.erase(job)
    _log.info("job.erased", extra=job.context)
    artifacts.forget()
    for folder in folders:
        to.blobs.delete(folder)
    if blob := job.text("input_blob"):
        to.blobs.delete(blob)
    return ViewAnswer(None, 204)
