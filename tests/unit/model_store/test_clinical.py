"""The clinical head helps where something is known, and steps aside where nothing is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from model_store.evaluation.metrics import auc
from model_store.served.pooling import Pooling, softmax
from model_store.training.clinical import fit_clinical, signs
from model_store.training.head import Doubles, Truth
from tests.unit.model_store.cohorts import synthetic


def known_of(truth: Truth) -> Doubles:
    count = len(truth.age)
    sex = np.where(np.arange(count) % 2 == 0, "F", "M")
    table = pd.DataFrame({"sex": sex, "mmse": truth.mmse, "age": truth.age, "educ": np.arange(count) % 5 + 1})
    return signs(table)


def pooling_of(severity: Doubles, truth: Truth) -> Pooling:
    """Whose volume features are the severity itself."""
    lines = fit_clinical(severity, known_of(truth), truth)
    return Pooling({**lines, "direction": np.ones(1), "offset": np.zeros(())})


def answer(pooling: Pooling, severity: Doubles, known: Doubles) -> Doubles:
    found = pooling.clinical(severity[:, None].astype(np.float32), known.astype(np.float32))
    return np.asarray(found, dtype=np.float64)


def test_nothing_known_says_nothing() -> None:
    x, truth = synthetic(0)
    found = answer(pooling_of(x[:, 0], truth), x[:5, 0], np.full((5, 4), np.nan))
    assert np.isnan(found).all()


def test_any_part_may_be_missing_and_only_known_parts_count() -> None:
    x, truth = synthetic(0)
    pooling = pooling_of(x[:, 0], truth)
    for pattern in product((False, True), repeat=4):
        if not any(pattern):
            continue
        known = np.where(pattern, known_of(truth)[:3], np.nan)
        p = answer(pooling, x[:3, 0], known)
        assert p.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)
        for sign in np.flatnonzero(pattern[:2]):  # MMSE and age are never without weight
            moved = known.copy()
            moved[:, sign] -= 6
            assert np.abs(answer(pooling, x[:3, 0], moved) - p).max() > 1e-4


def test_mmse_beside_the_image_is_better_than_either() -> None:
    x, truth = synthetic(0)
    pooling = pooling_of(x[:, 0], truth)
    unseen, other = synthetic(1)
    alone = np.stack([-unseen[:, 0], unseen[:, 0], np.zeros(200)], axis=1)
    mmse = np.stack([other.mmse, -other.mmse, np.zeros(200)], axis=1)
    joint = answer(pooling, unseen[:, 0], known_of(other))
    assert auc(joint, other.stages) > auc(softmax(alone), other.stages) + 0.03
    assert auc(joint, other.stages) > auc(softmax(mmse), other.stages)
