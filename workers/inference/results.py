"""From the model's answer about one volume to the result and explanation that are kept."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

from contracts.covariates import Covariates
from contracts.errors import OutOfDistribution
from contracts.explanation import Explanation
from contracts.job import Claim
from contracts.result import CDR, LABELS, Cdr, Clinical, Intervals, Probabilities, Result
from contracts.series_read import SeriesRead
from workers.inference.prediction import ModelAnswer
from workers.inference.regions import activation_by_region


def refuse_out_of_distribution(answer: ModelAnswer, most: float) -> None:
    """OutOfDistribution when the volume lies farther than `most` from the training data; 0 refuses none."""
    distance = answer.out_of_distribution
    if most and not distance <= most:
        raise OutOfDistribution(
            f"its distance from the training data is {distance:.2f}; 0 to {most:g} is accepted",
            out_of_distribution=round(distance, 4),
            most_out_of_distribution=most,
        )


def result_of(claim: Claim, answer: ModelAnswer) -> Result:
    """The public answer; figures of the record join those of the model."""
    p = _bounded(answer.probabilities)
    spans = [(round(float(low), 6), round(float(high), 6)) for low, high in answer.interval]
    kept: list[Cdr] = [stage for stage, inside in zip(CDR, answer.prediction_set, strict=True) if inside]
    cdr = CDR[max(range(3), key=p.__getitem__)]
    seconds = json.loads(claim.record.get("seconds_preprocess") or "{}")
    return Result(
        cdr=cdr,
        label=LABELS[cdr],
        probabilities=Probabilities(cdr0=p[0], cdr05=p[1], cdr1=p[2]),
        interval=Intervals(cdr0=spans[0], cdr05=spans[1], cdr1=spans[2]),
        prediction_set=kept,
        uncertain=len(kept) == len(CDR),
        out_of_distribution=answer.out_of_distribution,
        model_digest=answer.digest,
        pipeline_digest=claim.record.get("pipeline_digest", ""),
        model_engine=answer.engine,
        clinical=_clinical(claim, answer),
        regions={k: round(v, 3) for k, v in activation_by_region(answer.maps[:, CDR.index(cdr)]).items()},
        series=SeriesRead.of(json.loads(claim.record.get("series") or "null")),
        quality=json.loads(claim.record.get("quality") or "{}"),
        seconds={**seconds, "inference": round(answer.seconds, 4)},
    )


def _clinical(claim: Claim, answer: ModelAnswer) -> Clinical | None:
    if not np.isfinite(answer.clinical).all():
        return None
    p = _bounded(answer.clinical)
    cdr = CDR[max(range(3), key=p.__getitem__)]
    used = Covariates.of(claim.job.text("covariates")).given
    probabilities = Probabilities(cdr0=p[0], cdr05=p[1], cdr1=p[2])
    return Clinical(cdr=cdr, label=LABELS[cdr], probabilities=probabilities, used=used)


def _bounded(probabilities: npt.NDArray[np.float32]) -> list[float]:
    return [min(1.0, max(0.0, float(p))) for p in probabilities]


def explanation_of(answer: ModelAnswer) -> Explanation:
    """The maps as they are drawn later."""
    return Explanation(maps=answer.maps, slice_logits=answer.slice_logits)
