"""Many volumes under one handle: open a batch, submit jobs that name it, ask how far it is."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, url_for

from contracts.errors import BatchNotFound
from contracts.states import JobState
from gateway.access.auth import current_site
from gateway.http.errors import TooManyBatches
from gateway.http.operations import Operation, ViewAnswer, operation
from gateway.http.schemas import JobQuery
from gateway.jobs import listing, views
from gateway.jobs.batch_schemas import Batch, BatchCounts, BatchPage, BatchRequest
from gateway.resources import resources
from jobstore import batches, clock, keys

blueprint = Blueprint("batches", __name__, url_prefix="/v1/batches")


@blueprint.post("")
@operation(
    Operation(
        "Open a batch",
        "batches",
        {201: Batch},
        body=BatchRequest,
        errors=(TooManyBatches,),
    )
)
def create(body: BatchRequest) -> ViewAnswer:
    """Jobs join it by naming its id (`Hippocamp-Batch`, or the form field `batch`)."""
    client = resources().client
    made = batches.Batch(
        id=batches.new_batch_id(),
        site=current_site(),
        created_ms=clock.now_ms(client),
        description=body.description,
        expected=body.expected or 0,
    )
    if not batches.save(client, made):
        raise TooManyBatches(
            f"{batches.MOST_UNUSED} batches of the site have no job yet; send jobs to them"
            " (each lasts 30 days without one)"
        )
    where = {"Location": url_for("batches.read", batch_id=made.id)}
    return ViewAnswer(Batch.model_validate(_fields(made, BatchCounts())), 201, where)


@blueprint.get("/<batch_id>")
@operation(Operation("Read a batch", "batches", {200: BatchPage}, query=JobQuery, errors=(BatchNotFound,)))
def read(batch_id: str, query: JobQuery) -> BatchPage:
    """How many of its jobs are in which state, and a page of them; follow `next` until it is null."""
    client = resources().client
    found = batches.find(client, batch_id)
    if found is None or found.site != current_site():
        raise BatchNotFound(f"No batch {batch_id}")
    counts = BatchCounts.model_validate(batches.counts(client, batch_id))
    kept_in, wanted = keys.jobs_of_batch(batch_id), listing.asked_for(query)
    jobs, following = listing.page(client, kept_in, wanted=wanted, after=query.after, limit=query.limit)
    page = {"jobs": [views.summary(job) for job in jobs], "next": following}
    return BatchPage.model_validate(_fields(found, counts) | page)


def _fields(batch: batches.Batch, counts: BatchCounts) -> dict[str, object]:
    numbers = {JobState(state): number for state, number in counts}
    total = sum(numbers.values())
    ended = sum(number for state, number in numbers.items() if state.is_terminal)
    return {
        "id": batch.id,
        "description": batch.description,
        "expected": batch.expected or None,
        "created_at": datetime.fromtimestamp(batch.created_ms / 1000, tz=UTC),
        "total": total,
        "ended": ended,
        "complete": ended == total and total >= max(1, batch.expected),
        "counts": counts,
    }
