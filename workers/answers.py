"""From the model's answer about one volume to the result and explanation that are kept."""

from __future__ import annotations

import json

from contracts.explanation import Explanation
from contracts.job import Claim
from contracts.regions import activation_by_region
from contracts.result import CDR, LABELS, Cdr, Intervals, Probabilities, Result
from workers.model_server import Answer


def result_of(claim: Claim, answer: Answer) -> Result:
    """The public answer; figures of the record join those of the model."""
    p = [min(1.0, max(0.0, float(x))) for x in answer.probabilities]
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
        out_of_distribution=answer.ood,
        model_digest=answer.digest,
        pipeline_digest=claim.record.get("pipeline_digest", ""),
        model_engine=answer.engine,
        regions={k: round(v, 3) for k, v in activation_by_region(answer.maps[:, CDR.index(cdr)]).items()},
        quality=json.loads(claim.record.get("quality") or "{}"),
        seconds={**seconds, "inference": round(answer.seconds, 4)},
    )


def explanation_of(answer: Answer) -> Explanation:
    """The maps as they are drawn later."""
    return Explanation(maps=answer.maps, slice_logits=answer.slice_logits)
