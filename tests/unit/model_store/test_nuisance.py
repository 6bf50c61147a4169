"""The head pays for severity that moves with a mere change of look."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.release.build import slice_weights
from model_store.served.pooling import Pooling, scaled
from model_store.served.shapes import CELLS, DEEP, QUARTERS
from model_store.training.head import Head, fit_head
from model_store.training.looks import LOOKS
from model_store.training.nuisance import fit_look, fit_nuisance
from model_store.training.recipe import SHIPPED, Recipe
from tests.unit.model_store.cohorts import synthetic


def test_the_head_hardly_moves_with_a_look() -> None:
    """Along the moves severity is all but flat, though the disease shows there as well."""
    x, truth = synthetic(0, signal=3)
    chooser = np.random.default_rng(1)
    look = np.eye(40)[0] + np.eye(40)[1]
    moves = np.outer(chooser.normal(20, 1, 30), look)
    nuisance = fit_nuisance(moves, caution=1 / 3)
    before = np.abs(fit_head(x, truth).severity(look[None]) - fit_head(x, truth).offset)
    head = fit_head(nuisance.damped(x), truth)
    after = np.abs(nuisance.damped(look[None]) @ head.direction)
    assert after < 0.1 * before
    assert after > 0


def test_damping_is_the_price_of_moving() -> None:
    """What is fitted on damped features is ridge with a price on every squared move."""
    chooser = np.random.default_rng(2)
    x, moves, y = chooser.normal(size=(50, 8)), chooser.normal(size=(5, 8)), chooser.normal(size=50)
    caution, ridge = 0.7, 3.0
    nuisance = fit_nuisance(moves, caution)
    damped = nuisance.damped(x)
    found = np.linalg.solve(damped.T @ damped + ridge * np.eye(8), damped.T @ y)
    priced = np.linalg.solve(x.T @ x + ridge * (np.eye(8) + caution * moves.T @ moves), x.T @ y)
    assert nuisance.damped(found[None])[0] == pytest.approx(priced)


@pytest.mark.parametrize("quarters", [(0, 1, 2, 3), (1,)])
def test_features_are_scaled_to_the_recipes_shares(quarters: tuple[int, ...]) -> None:
    """Together they have unit variance, the contrast's part `contrast` times the network's."""
    raw = np.random.default_rng(3).normal(size=(30, DEEP + QUARTERS * CELLS)).astype(np.float32)
    look = fit_look(raw, np.zeros((2, raw.shape[1])), Recipe(contrast=3.0, quarters=quarters))
    spread = scaled(raw, look["scales"]).var(axis=0)
    assert len(spread) == DEEP + len(quarters) * CELLS
    assert spread[:DEEP].sum() == pytest.approx(0.25, rel=1e-4)
    assert spread[DEEP:].sum() == pytest.approx(0.75, rel=1e-4)


def test_quarters_that_do_not_count_have_no_say() -> None:
    """Weights of slice features are those of the columns that were fitted, and 0 elsewhere."""
    chooser = np.random.default_rng(4)
    raw = chooser.normal(size=(20, DEEP + QUARTERS * CELLS)).astype(np.float32)
    moves = chooser.normal(size=(3, raw.shape[1]))
    look = fit_look(raw, moves, Recipe(quarters=(1, 2)))
    pooling = Pooling(look)
    volume = pooling.damped(pooling.scaled(raw)).astype(np.float64)
    direction = chooser.normal(size=volume.shape[1])
    deep, contrast = slice_weights(Head(direction, 0.0, np.zeros(3), np.zeros(3)), look)
    assert not contrast[[0, 3]].any()
    assert contrast[[1, 2]].all()
    assert raw @ np.concatenate([deep, contrast.ravel()]) == pytest.approx(volume @ direction, abs=1e-3)


def test_the_shipped_head_is_flat_along_the_shipped_looks() -> None:
    """A unit step along any kept direction moves severity far less than one subject differs from another."""
    from model_store.release.digest import RELEASE
    from model_store.served.shapes import POOLING

    constants = Pooling.load(RELEASE / POOLING).constants
    assert SHIPPED.caution > 1
    direction, nuisance = constants["direction"], constants["nuisance"]
    damped = direction - ((direction @ nuisance.T) * constants["damping"]) @ nuisance
    along = np.abs(nuisance[:20] @ damped)
    assert along.max() < 0.05 * np.linalg.norm(damped)


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_keeps_shape_type_and_background(name: str, template_slices: np.ndarray) -> None:
    changed = LOOKS[name](template_slices[:8])
    assert changed.shape == template_slices[:8].shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, template_slices[:8])
    assert changed[:, 0, 0].max() == 0
    assert np.array_equal(changed, LOOKS[name](template_slices[:8]))
