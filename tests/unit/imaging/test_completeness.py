"""Whether a series is whole: by its geometry, by what its headers announce, by the scanner's numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from imaging.completeness import Doubt, missing
from imaging.described import describe
from imaging.places import Place, place_of
from tests.integration.dicomweb.series import slices


def places(count: int = 40, *, step_mm: float = 1.0, **about: Any) -> list[Place]:
    found = slices("1.2.3.1", count, **about)
    for n, one in enumerate(found):
        one.ImagePositionPatient = [0, 0, n * step_mm]
    random.Random(1).shuffle(found)
    return [place_of(one, describe(one)) for one in found]


def picked(numbers: Sequence[int], **about: Any) -> list[Place]:
    """Of forty slices, those with these numbers."""
    return [one for one in places(**about) if one.number in numbers]


@pytest.mark.parametrize(
    ("came", "doubt"),
    [
        (range(1, 41), None),
        (range(1, 40), None),
        ([*range(1, 20), *range(21, 41)], Doubt.GAP),
        (range(1, 41, 2), Doubt.GAP),
        (range(1, 15), Doubt.GAP),
        (range(21, 41), Doubt.NUMBER),
    ],
)
def test_a_part_of_a_series(came: Sequence[int], doubt: Doubt | None) -> None:
    found = missing(picked(came))
    assert (found.doubt if found else None) == doubt


@pytest.mark.parametrize(
    ("about", "doubt"),
    [
        ({"NumberOfSeriesRelatedInstances": 41}, Doubt.COUNT),
        ({"ImagesInAcquisition": "40"}, None),
        ({"ImagesInAcquisition": "60"}, Doubt.COUNT),
    ],
)
def test_what_the_headers_announce(about: dict[str, Any], doubt: Doubt | None) -> None:
    found = missing(places(**about))
    assert (found.doubt if found else None) == doubt


@pytest.mark.parametrize(
    "about",
    [
        {"step_mm": 8.0, "SliceThickness": 5},
        {"step_mm": 6.5, "SliceThickness": 5, "SpacingBetweenSlices": 1.5},
        {"step_mm": 1.0, "SliceThickness": 2, "SpacingBetweenSlices": 1},
        {"SliceThickness": None, "InstanceNumber": None},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
    ],
)
def test_scanners_that_write_it_otherwise_are_whole(about: dict[str, Any]) -> None:
    """Gaps between slices, the gap written as their distance, slices that overlap, nothing written at all."""
    found = places(**about)
    if "ImageOrientationPatient" in about:
        found = [
            Place.of([(0.0, -float(n), 0.0), *one.to_list()[1:]]) for n, one in enumerate(places(**about))
        ]
    assert missing(found) is None


def test_every_second_of_overlapping_slices_is_missed() -> None:
    found = picked(range(1, 41, 2), SliceThickness=2, SpacingBetweenSlices=1)
    lack = missing(found)
    assert lack is not None
    assert "2.00 mm apart, and the series says 1.00 mm" in lack.text


def test_numbers_that_go_through_all_series_are_no_holes() -> None:
    shifted = [Place.of([*one.to_list()[:3], one.number + 1000, *one.to_list()[4:]]) for one in places()]
    assert missing(shifted) is None


def test_phase_images_between_count_and_form_no_stack() -> None:
    mixed = places(20)
    phase = places(20, ImageType=["ORIGINAL", "PRIMARY", "P"], NumberOfSeriesRelatedInstances=40)
    assert missing(mixed + phase) is None
    lack = missing(mixed + phase[:-1])
    assert lack is not None
    assert lack.text == "40 images are announced in the headers, 39 came"


def test_a_multi_frame_instance_is_whole() -> None:
    assert missing([Place(images=32)]) is None


def test_a_place_survives_json() -> None:
    (one,) = places(1, SpacingBetweenSlices=1.2, NumberOfSeriesRelatedInstances=7)
    assert Place.of(one.to_list()) == one
