"""What a batch asks of the model servers: slices, and what is known of the person, one request a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from contracts.covariates import Covariates
from contracts.job import Claim
from contracts.stack import Stack
from workers.inference.model_server import Answer
from workers.inference.scoring import score
from workers.inference.spans import BatchSpans

if TYPE_CHECKING:
    from workers.context import WorkerContext


@dataclass(frozen=True)
class Head:
    """One volume as it is asked about.

    blob: where its slices lie. covariates: four, in the model's order, NaN where nothing is known.
    version: digest of the model that is wanted, "" for the one that answers by default.
    slices: (32, 208, 176) uint8; None while the model server is to read them itself.
    """

    blob: str
    covariates: list[float]
    version: str = ""
    slices: npt.NDArray[np.uint8] | None = None


def named(claim: Claim) -> Head:
    """The claimed job's head by the name of its slices."""
    job = claim.job
    known = Covariates.of(job.text("covariates")).row()
    return Head(job.text("stack_blob"), known, job.text("wanted_model"))


def loaded(place: WorkerContext, claim: Claim) -> Head:
    """The same with its slices; FileNotFoundError, ValueError when they are gone or damaged."""
    head = named(claim)
    slices = Stack.from_bytes(place.blobs.get(head.blob)).slices
    return Head(head.blob, head.covariates, head.version, slices)


def ask_all(place: WorkerContext, heads: Sequence[Head], spans: BatchSpans) -> list[Answer | Exception]:
    """One answer or error a head, in order; heads that want different models do not share a request.

    NotRead when heads were only named, and the server cannot read them.
    """
    found: dict[int, Answer | Exception] = {}
    for version in sorted({head.version for head in heads}):
        rows = [n for n, head in enumerate(heads) if head.version == version]
        ask = spans.around(partial(_ask, place, version))
        healthy = partial(place.healthy, version)
        found |= zip(rows, score(ask, [heads[n] for n in rows], healthy=healthy), strict=True)
    return [found[n] for n in range(len(heads))]


def _ask(place: WorkerContext, version: str, heads: Sequence[Head], traceparent: str) -> list[Answer]:
    known = np.array([head.covariates for head in heads], np.float32)
    covariates = known if np.isfinite(known).any() else None
    slices = [head.slices for head in heads if head.slices is not None]
    if slices:
        return place.model.predict(np.stack(slices), traceparent, covariates=covariates, version=version)
    blobs = [head.blob for head in heads]
    return place.model.predict_stored(blobs, traceparent, covariates=covariates, version=version)
