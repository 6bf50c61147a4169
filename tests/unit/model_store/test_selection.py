"""Inner folds choose, outer folds judge; the subjects that judge have no say."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.training.head import fit_head
from model_store.training.recipe import CHOICES, SHIPPED, Recipe
from model_store.training.selection import Candidate, Selection, in_span
from tests.unit.model_store.cohorts import synthetic


def test_the_shipped_recipe_is_one_of_the_choices() -> None:
    assert SHIPPED in CHOICES


def test_the_span_keeps_what_ridge_sees() -> None:
    """Fewer numbers, the same severities: in training and for a subject left out."""
    x, truth = synthetic(0, count=60, features=300)
    small = in_span(x)
    assert small.shape == (60, 60)
    train, held = np.arange(50), np.arange(50, 60)
    severities = [fit_head(v[train], truth.rows(train)).severity(v[held]) for v in (x, small)]
    assert severities[0] == pytest.approx(severities[1], abs=1e-6)


def test_the_better_features_are_chosen_and_remembered() -> None:
    signal, truth = synthetic(1, signal=3)
    noise = np.random.default_rng(2).normal(size=signal.shape)
    good, bad = Candidate(Recipe(strength=0.3), signal), Candidate(Recipe(strength=1.0), noise)
    selection = Selection([bad, good], truth)
    for first in range(4):
        assert selection(np.arange(first, len(signal), 2)) is good
    assert selection(np.arange(0, len(signal), 2)) is good
    assert selection.popularity == [(good.recipe, 4)]


def test_subjects_outside_the_rows_do_not_change_the_choice() -> None:
    signal, truth = synthetic(3, signal=2)
    rows = np.arange(len(signal) // 2)
    spoilt = signal.copy()
    spoilt[len(rows) :] = 1e3
    choices = [Candidate(Recipe(strength=s), signal) for s in (0.1, 1.0)]
    others = [Candidate(Recipe(strength=s), spoilt) for s in (0.1, 1.0)]
    assert Selection(choices, truth)(rows).recipe == Selection(others, truth)(rows).recipe
