"""The head finds the direction of disease, bears more features than subjects, and is not sure of noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model_store.release.calibration import conformal_threshold, fit_temperature
from model_store.served.pooling import softmax
from model_store.training.head import fit_head, fit_stages
from tests.unit.model_store.cohorts import synthetic


def test_it_finds_the_direction_of_disease() -> None:
    x, truth = synthetic(0, signal=3)
    head = fit_head(x, truth)
    assert np.abs(head.direction).argmax() == 0
    unseen, known = synthetic(1, signal=3)
    assert (head.logits(unseen).argmax(axis=1) == known.stages).mean() > 0.65
    assert head.logits(unseen) == pytest.approx(unseen @ head.weight.T + head.bias)


def test_features_may_outnumber_subjects() -> None:
    x, truth = synthetic(2, count=60, features=900)
    head = fit_head(x, truth)
    assert head.weight.shape == (3, 900)
    assert np.isfinite(head.logits(x)).all()


def test_noise_gives_no_more_than_the_frequencies() -> None:
    x, truth = synthetic(3, features=500, signal=0)
    unseen, known = synthetic(4, features=500, signal=0)
    p = softmax(fit_head(x, truth).logits(unseen))
    share = np.bincount(known.stages) / len(known.stages)
    assert np.abs(p - share).mean() < 0.12
    assert p.max() < 0.8


def test_unknown_signs_count_as_average() -> None:
    x, truth = synthetic(5)
    head = fit_head(x, replace(truth, mmse=np.full(200, np.nan), nwbv=np.full(200, np.nan)))
    assert np.isfinite(head.weight).all()


def test_stages_climb_with_severity() -> None:
    severity = np.linspace(-2, 2, 300)
    slopes, steps = fit_stages(severity, np.digitize(severity, [-0.5, 1]).astype(np.int64))
    likeliest = (np.outer(severity, slopes) + steps).argmax(axis=1)
    assert (np.diff(likeliest) >= 0).all()
    assert set(likeliest) == {0, 1, 2}


def test_temperature_undoes_overconfidence() -> None:
    chooser = np.random.default_rng(4)
    logits = chooser.normal(size=(4000, 3))
    truth = np.array([chooser.choice(3, p=row / row.sum()) for row in softmax(logits).astype(float)])
    found = fit_temperature(logits * 3, truth)
    assert found.temperature == pytest.approx(3, rel=0.15)
    assert found.bias / 3 == pytest.approx(np.zeros(3), abs=0.15)


def test_conformal_sets_cover_unseen_subjects() -> None:
    chooser = np.random.default_rng(5)
    p = softmax(chooser.normal(size=(4000, 3)) * 1.5).astype(float)
    truth = np.array([chooser.choice(3, p=row / row.sum()) for row in p])
    threshold = conformal_threshold(p[:2000], truth[:2000])
    covered = 1 - p[np.arange(2000, 4000), truth[2000:]] <= threshold
    assert covered.mean() == pytest.approx(0.9, abs=0.025)
