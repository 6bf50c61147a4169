"""What becomes of a collected study, at every moment: wait, submit, fail, forget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from pydicom.dataset import FileDataset

from contracts.errors import IncompleteSeries, SeveralStudies
from gateway.dicomweb.decision import Answered, Forget, Submit, Wait, decide
from gateway.dicomweb.settings import InboxSettings
from imaging.described import describe
from imaging.places import place_of
from jobstore.inbox_records import Item, Study, short
from tests.integration.dicomweb.series import slices

SETTINGS = InboxSettings(quiet_seconds=30, limit_seconds=3600, keep_seconds=600)
QUIET, LIMIT, KEEP = 30_000, 3_600_000, 600_000
T1, SPIN_ECHO, FLAIR = "1.2.3.1", "1.2.3.2", "1.2.3.3"
WORSE: dict[str, Any] = {"SeriesDescription": "t1 se", "ScanningSequence": "SE", "RepetitionTime": 500}
Decision = Wait | Submit | Answered | Forget


def judged(sent: Sequence[FileDataset], now_ms: int, **fields: str) -> Decision:
    """Of these, the last of which came at 0; what is flair was not kept."""
    series, items = {}, []
    for one in sent:
        described, name = describe(one), short(one.SeriesInstanceUID)
        ours = "flair" not in described.words
        series[name if ours else f"{name}~"] = json.dumps(described.to_json())
        place = place_of(one, described).to_list()
        items.append(Item(short(one.SOPInstanceUID), name, place, *(("chunk", 0, 1) if ours else ())))
    study = Study("study", {"last_ms": "0", "version": "2", **fields}, series)
    return decide(study, items, SETTINGS, now_ms=now_ms)


def halved(count: int = 40, series: str = T1, **about: Any) -> list[FileDataset]:
    return slices(series, count, **about)[::2]


def test_a_whole_series_is_submitted_once_it_is_quiet() -> None:
    found = judged(slices(T1), QUIET - 1)
    assert isinstance(found, Wait)
    assert found.until_ms == QUIET
    found = judged(slices(T1) + slices(FLAIR, SeriesDescription="flair"), QUIET)
    assert isinstance(found, Submit)
    assert found.series is not None
    assert len(found.series.stored) == 20
    assert [one.code for one in found.passed] == ["other_contrast"]


def test_half_a_series_waits_and_then_fails_with_what_is_missing() -> None:
    found = judged(halved(), QUIET)
    assert isinstance(found, Wait)
    assert found.until_ms == LIMIT
    found = judged(halved(), LIMIT)
    assert isinstance(found, Submit)
    assert isinstance(found.error, IncompleteSeries)
    assert "2.00 mm apart" in found.error.detail


@pytest.mark.parametrize("now_ms", [1, QUIET])
def test_its_sender_may_end_the_wait(now_ms: int) -> None:
    found = judged(halved(), now_ms, closing="1")
    assert isinstance(found, Submit)
    assert isinstance(found.error, IncompleteSeries)
    assert isinstance(judged(slices(T1), now_ms, closing="1"), Submit)


def test_a_worse_series_that_is_whole_is_read_when_the_best_never_is() -> None:
    both = halved() + slices(SPIN_ECHO, **WORSE)
    assert isinstance(judged(both, QUIET), Wait)
    found = judged(both, LIMIT)
    assert isinstance(found, Submit)
    assert found.series is not None
    assert found.series.items[0].series == short(SPIN_ECHO)
    assert [one.code for one in found.passed] == ["incomplete"]


@pytest.mark.parametrize(
    ("sent", "most_wait"),
    [(slices(T1, NumberOfSeriesRelatedInstances=25), LIMIT), (slices(T1, 40)[20:], 10 * QUIET)],
)
def test_fewer_than_announced_are_read_with_a_notice(sent: list[FileDataset], most_wait: int) -> None:
    found = judged(sent, most_wait - 1)
    assert isinstance(found, Wait)
    assert found.until_ms == most_wait
    found = judged(sent, most_wait)
    assert isinstance(found, Submit)
    assert [one.code for one in found.passed] == ["missing_images"]


def test_no_t1_is_forgotten() -> None:
    flair = slices(FLAIR, SeriesDescription="flair")
    assert isinstance(judged(flair, QUIET), Wait)
    assert isinstance(judged(flair, LIMIT), Forget)
    assert isinstance(judged(flair, LIMIT, job="job_1"), Answered)


def test_two_people_end_it() -> None:
    found = judged(slices(T1), QUIET, mixed="1")
    assert isinstance(found, Submit)
    assert isinstance(found.error, SeveralStudies)


def test_what_was_submitted_is_kept_for_a_while_and_answered_by_the_same_job() -> None:
    first = judged(slices(T1), QUIET)
    assert isinstance(first, Submit)
    done = {"job": "job_1", "scored_set": first.digest, "scored_version": "2", "scored_ms": "50000"}
    assert judged(slices(T1), 50_001, **done) == Wait(50_000 + KEEP, "")
    assert isinstance(judged(slices(T1), 50_000 + KEEP, **done), Forget)
    more = slices(T1) + slices(FLAIR, SeriesDescription="flair")
    assert isinstance(judged(more, QUIET, **done | {"scored_version": "1"}), Answered)
    later = judged(slices(T1, 21), QUIET, **done | {"scored_version": "1"})
    assert isinstance(later, Submit)
    assert later.digest != first.digest


def test_the_order_of_arrival_changes_nothing() -> None:
    one, other = judged(slices(T1), QUIET), judged(slices(T1)[::-1], QUIET)
    assert isinstance(one, Submit)
    assert isinstance(other, Submit)
    assert one.digest == other.digest
