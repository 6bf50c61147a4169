"""The head pays for severity that moves with a mere change of look."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.head import fit_head
from model_store.nuisance import CAUTION, LOOKS, fit_nuisance
from tests.unit.model_store.cohorts import synthetic


def test_the_head_hardly_moves_with_a_look() -> None:
    """Along the moves severity is all but flat, though the disease shows there as well."""
    x, truth = synthetic(0, signal=3)
    chooser = np.random.default_rng(1)
    look = np.eye(40)[0] + np.eye(40)[1]
    moves = np.outer(chooser.normal(20, 1, 30), look)
    damped = fit_nuisance(moves).damped(x)
    before = np.abs(fit_head(x, truth).severity(look[None]) - fit_head(x, truth).offset)
    head = fit_head(damped, truth)
    after = np.abs(fit_nuisance(moves).damped(look[None]) @ head.direction)
    assert after < 0.1 * before
    assert after > 0


def test_damping_is_the_price_of_moving() -> None:
    """What is fitted on damped features is ridge with a price on every squared move."""
    chooser = np.random.default_rng(2)
    x, moves, y = chooser.normal(size=(50, 8)), chooser.normal(size=(5, 8)), chooser.normal(size=50)
    nuisance, ridge = fit_nuisance(moves), 3.0
    damped = nuisance.damped(x)
    found = np.linalg.solve(damped.T @ damped + ridge * np.eye(8), damped.T @ y)
    priced = np.linalg.solve(x.T @ x + ridge * (np.eye(8) + CAUTION * moves.T @ moves), x.T @ y)
    assert nuisance.damped(found[None])[0] == pytest.approx(priced)


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_keeps_shape_type_and_background(look: object, template_slices: np.ndarray) -> None:
    assert callable(look)
    changed = look(template_slices[:4])
    assert changed.shape == template_slices[:4].shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, template_slices[:4])
    assert changed[:, 0, 0].max() == 0
