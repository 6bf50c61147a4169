"""The anatomy bench's arithmetic: lines, rescans, people drawn whole."""

from __future__ import annotations

import numpy as np
import pytest

from bench.anatomy.lines import VARIES, fit_lines, left_out, slope_and_intercept
from bench.anatomy.robustness import shrunk_places
from bench.anatomy.scans import MANUAL
from bench.anatomy.scores import Row, correlation, over_people, ratio, rescan_variation
from imaging.hemisphere import Structure

ONE = Structure.HIPPOCAMPUS


def _row(scan: str, size: float, *, person: str | None = None, factor: float = 1.2) -> Row:
    manual = {key: size * (1 + 0.1 * key[1]) for key in MANUAL}
    raw = {key: factor * ml for key, ml in manual.items()}
    return Row(scan, person or scan, False, dict.fromkeys(Structure, 0.8), raw, raw, manual)


def test_a_line_undoes_what_was_put_on() -> None:
    lines = fit_lines([_row(f"{n}", 2 + 0.3 * n) for n in range(6)])
    for one in Structure:
        assert lines[one].slope == pytest.approx(1 / 1.2, abs=1e-3)
        assert lines[one].intercept == pytest.approx(0, abs=1e-3)
        assert lines[one].error == pytest.approx(0, abs=1e-3)


def test_noise_does_not_flatten_the_line_of_what_varies() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(5, 40, 400)
    ours = true + rng.normal(0, 6, 400)
    slope, _ = slope_and_intercept(ours, true + rng.normal(0, 6, 400), varies=True)
    assert slope == pytest.approx(1, abs=0.06)
    assert ONE not in VARIES
    assert slope_and_intercept(true, 0.9 * true, varies=False) == (pytest.approx(0.9), 0.0)


def test_a_person_is_left_out_with_all_scans() -> None:
    rows = [_row("1", 3), _row("2", 4), _row("3", 50, person="1", factor=9)]
    assert left_out(rows, "1")[ONE].slope == pytest.approx(1 / 1.2, abs=1e-3)
    assert left_out(rows, "1")[ONE].scans == 1


def test_rescan_variation_is_the_spread_of_one_scan() -> None:
    rows = [_row("1", 3.0), _row("2", 3.03, person="1"), _row("3", 5.0)]
    cv, pairs = rescan_variation(rows, [("1", "2"), ("3", "4")], ONE)
    assert pairs == 1
    assert cv == pytest.approx(100 * 0.03 / 3.015 / np.sqrt(2), rel=1e-3)


def test_intervals_draw_people_not_scans() -> None:
    rows = [_row("1", 3), _row("2", 3, person="1"), _row("3", 4), _row("4", 5)]
    figure = over_people(rows, ratio(ONE))
    assert figure.n == 3
    assert figure.low == pytest.approx(1.2)
    assert figure.value == pytest.approx(1.2)
    assert correlation(ONE)(rows) == pytest.approx(1)


def test_a_surface_moves_inward_by_the_millimetres() -> None:
    at = np.indices((40, 40, 40)) - 20
    ball = np.sqrt((at**2).sum(0)) < 12
    places = shrunk_places(ball, 0.5)
    axis = places[0][:, 20, 20] - np.arange(40)
    assert axis[32] == pytest.approx(0.5, abs=0.1)
    assert axis[8] == pytest.approx(-0.5, abs=0.1)
