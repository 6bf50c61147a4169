"""The clinical head helps where something is known, and steps aside where nothing is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from model_store.clinical import fit_clinical, signs
from model_store.handler import softmax
from model_store.head import Doubles, Truth
from model_store.metrics import auc
from tests.unit.model_store.cohorts import synthetic


def known_of(truth: Truth) -> Doubles:
    count = len(truth.age)
    sex = np.where(np.arange(count) % 2 == 0, "F", "M")
    table = pd.DataFrame({"sex": sex, "mmse": truth.mmse, "age": truth.age, "educ": np.arange(count) % 5 + 1})
    return signs(table)


def test_nothing_known_leaves_the_image_alone() -> None:
    x, truth = synthetic(0)
    clinical = fit_clinical(x[:, 0], known_of(truth), truth)
    logits = np.random.default_rng(1).normal(size=(5, 3))
    found = clinical.probabilities(logits, x[:5, 0], np.full((5, 4), np.nan))
    assert found == pytest.approx(softmax(logits))


def test_any_part_may_be_missing() -> None:
    x, truth = synthetic(0)
    clinical = fit_clinical(x[:, 0], known_of(truth), truth)
    for pattern in product((False, True), repeat=4):
        known = np.where(pattern, known_of(truth)[:3], np.nan)
        p = clinical.probabilities(np.zeros((3, 3)), x[:3, 0], known)
        assert p.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_mmse_beside_the_image_is_better_than_the_image() -> None:
    x, truth = synthetic(0)
    clinical = fit_clinical(x[:, 0], known_of(truth), truth)
    unseen, other = synthetic(1)
    alone = np.stack([-unseen[:, 0], unseen[:, 0], np.zeros(200)], axis=1)
    joint = clinical.probabilities(alone, unseen[:, 0], known_of(other))
    assert auc(joint, other.stages) > auc(softmax(alone), other.stages) + 0.03
