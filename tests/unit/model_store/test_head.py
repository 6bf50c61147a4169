"""The head finds an ordinal direction, bears more features than subjects, and obeys its penalty."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.calibration import conformal_threshold, fit_temperature
from model_store.handler import softmax
from model_store.head import Penalty, fit_head


def ordinal_cohort(seed: int, *, count: int = 300, features: int = 5) -> tuple[np.ndarray, np.ndarray]:
    chooser = np.random.default_rng(seed)
    x = chooser.normal(size=(count, features))
    stages = np.digitize(x[:, 0] + chooser.normal(scale=0.3, size=count), [0.0, 1.0]).astype(np.int64)
    return x, stages


def test_it_finds_the_direction_of_disease() -> None:
    x, stages = ordinal_cohort(0)
    head = fit_head(x, stages, Penalty(strength=0.001))
    assert np.abs(head.weight[2] - head.weight[0]).argmax() == 0
    unseen, truth = ordinal_cohort(1)
    assert (head.logits(unseen).argmax(axis=1) == truth).mean() > 0.75


def test_equal_steps_when_bending_costs_everything() -> None:
    x, stages = ordinal_cohort(0)
    head = fit_head(x, stages, Penalty(strength=0.01, bend=1e6))
    assert head.weight[1] == pytest.approx(np.zeros(5), abs=1e-4)
    assert head.weight[0] == pytest.approx(-head.weight[2], abs=1e-4)


def test_features_may_outnumber_subjects() -> None:
    x, stages = ordinal_cohort(2, count=40, features=500)
    head = fit_head(x, stages, Penalty())
    assert head.weight.shape == (3, 500)
    assert np.isfinite(head.logits(x)).all()


def test_random_labels_teach_nothing() -> None:
    x, stages = ordinal_cohort(3, features=50)
    shuffled = np.random.default_rng(0).permutation(stages)
    head = fit_head(x[:150], shuffled[:150], Penalty())
    agreement = (head.logits(x[150:]).argmax(axis=1) == shuffled[150:]).mean()
    assert agreement < np.bincount(shuffled[150:]).max() / 150 + 0.08


def test_temperature_undoes_overconfidence() -> None:
    chooser = np.random.default_rng(4)
    logits = chooser.normal(size=(4000, 3))
    truth = np.array([chooser.choice(3, p=row) for row in softmax(logits)], dtype=np.int64)
    found = fit_temperature(logits * 3, truth)
    assert found.temperature == pytest.approx(3, rel=0.15)
    assert found.bias / 3 == pytest.approx(np.zeros(3), abs=0.1)


def test_conformal_sets_cover_unseen_subjects() -> None:
    chooser = np.random.default_rng(5)
    p = softmax(chooser.normal(size=(4000, 3)) * 1.5)
    truth = np.array([chooser.choice(3, p=row.astype(float) / row.sum()) for row in p], dtype=np.int64)
    threshold = conformal_threshold(p[:2000].astype(float), truth[:2000])
    covered = 1 - p[np.arange(2000, 4000), truth[2000:]] <= threshold
    assert covered.mean() == pytest.approx(0.9, abs=0.025)
