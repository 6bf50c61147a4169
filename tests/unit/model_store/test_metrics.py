"""Figures are what their definitions say, on answers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.evaluation import metrics

PERFECT = np.eye(3)[[0, 0, 1, 2]]
STAGES = np.array([0, 0, 1, 2])


def test_a_perfect_answer() -> None:
    assert metrics.auc(PERFECT, STAGES) == 1
    assert metrics.balanced_accuracy(PERFECT, STAGES) == 1
    assert metrics.kappa(PERFECT, STAGES) == 1
    assert metrics.confusion(PERFECT, STAGES).tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_one_group_alone_has_no_auc() -> None:
    assert np.isnan(metrics.auc(PERFECT[:2], STAGES[:2]))


def test_calibration_error_of_a_boaster() -> None:
    p = np.tile([0.1, 0.9, 0.0], (100, 1))
    stages = np.repeat([0, 1], 50)
    mixed = np.random.default_rng(0).permutation(stages)
    assert metrics.calibration_error(p, mixed, bins=1) == pytest.approx(0.4)


def test_the_interval_holds_the_value_and_narrows_with_subjects() -> None:
    chooser = np.random.default_rng(1)
    widths = []
    for count in (60, 1000):
        stages = chooser.integers(0, 3, count)
        lift = 0.5 + 0.15 * (stages > 0) + chooser.normal(scale=0.2, size=count)
        p = np.stack([1 - lift, lift, np.zeros(count)], axis=1)[None]
        found = metrics.estimate(metrics.auc, p, stages)
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


def test_reliability_of_an_honest_answer_lies_on_the_diagonal() -> None:
    chooser = np.random.default_rng(2)
    told = chooser.uniform(size=20000)
    stages = (chooser.uniform(size=20000) < told).astype(np.int64)
    said, found, counts = metrics.reliability(told[None], stages)
    assert np.abs(said - found).max() < 0.04
    assert counts.sum() == 20000
