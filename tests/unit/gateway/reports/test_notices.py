"""What a reader must know, derived from the result: each notice has its cause, and none comes without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.result import Intervals, Probabilities, Result
from contracts.series_read import PassedOver, SeriesRead
from gateway.reports.notices import Severity, notices_of

SERIES = SeriesRead(number=5, description="t1 mprage", images=176, voxel_mm=(1, 1, 1))


def result(quality: dict[str, float] | None = None, **about: Any) -> Result:
    """A result about nothing unusual; `about` overrides."""
    plain = {
        "cdr": "0", "label": "normal", "prediction_set": ["0"], "uncertain": False,
        "out_of_distribution": 0.3,
        "probabilities": Probabilities(cdr0=0.8, cdr05=0.1, cdr1=0.1), "model_digest": "b",
        "pipeline_digest": "a",
        "interval": Intervals(cdr0=(0.6, 0.9), cdr05=(0, 0.2), cdr1=(0, 0.2)), "seconds": {},
        "quality": {"voxel_edge_mm": 1.0, "escalated": 0.0, **(quality or {})}, "series": SERIES,
    }  # fmt: skip
    return Result.model_validate(plain | about)


def test_nothing_unusual_needs_no_notice() -> None:
    assert notices_of(result(), age=75) == []


CASES: dict[str, tuple[Result, float | None, Severity]] = {
    "orientation.assumed": (result({"orientation_assumed": 1.0}), 75, Severity.WARNING),
    "contrast.uncertain": (result({"contrast_uncertain": 1.0}), 75, Severity.WARNING),
    "voxels.coarse": (result({"voxel_edge_mm": 2.0}), 75, Severity.WARNING),
    "brain.second_extraction": (result({"escalated": 1.0}), 75, Severity.INFO),
    "series.contrast_agent": (result(series=replace(SERIES, agent=True)), 75, Severity.WARNING),
    "series.chosen": (result(series=replace(SERIES, candidates=3)), 75, Severity.INFO),
    "age.unknown": (result(), None, Severity.INFO),
    "age.outside": (result(), 59, Severity.WARNING),
    "distribution.outside": (result(out_of_distribution=1.2), 75, Severity.WARNING),
    "distribution.near": (result(out_of_distribution=0.9), 75, Severity.INFO),
}


@pytest.mark.parametrize("code", CASES)
def test_each_notice_has_its_cause(code: str) -> None:
    found, age, severity = CASES[code]
    (notice,) = notices_of(found, age=age)
    assert (notice.code, notice.severity) == (code, severity)


@pytest.mark.parametrize(("edge", "age", "count"), [(1.5, 60, 0), (1.51, 60, 1), (1.5, 59.9, 1)])
def test_limits(edge: float, age: float, count: int) -> None:
    assert len(notices_of(result({"voxel_edge_mm": edge}), age=age)) == count


def test_they_say_it_in_words() -> None:
    texts = " ".join(one.text for one in notices_of(result({"orientation_assumed": 1.0}), age=40))
    assert "left and right are assumed" in texts
    assert "outside the intended use: trained on people of 60 and more" in texts


def test_warnings_come_first() -> None:
    found = notices_of(result({"escalated": 1.0, "orientation_assumed": 1.0}), age=None)
    severities = [one.severity for one in found]
    assert severities == sorted(severities, key=lambda one: one is Severity.INFO)
    assert len(severities) == 3


def test_the_chosen_series_is_named_with_its_voxels() -> None:
    (notice,) = notices_of(result(series=replace(SERIES, candidates=2)), age=75)
    assert "series 5 't1 mprage' (1 x 1 x 1 mm)" in notice.text


def test_a_result_keeps_what_was_passed_over() -> None:
    other = PassedOver(number=9, description="t2 flair", images=40, code="other_contrast", reason="another")
    found = result(series=replace(SERIES, passed_over=(other,)))
    assert Result.model_validate_json(found.model_dump_json()) == found
    assert SeriesRead.of(found.model_dump(mode="json")["series"]) == found.series


def test_old_results_have_no_series() -> None:
    data = result().model_dump(mode="json")
    del data["series"]
    assert Result.model_validate(data).series is None
