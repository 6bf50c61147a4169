"""A head fitted without the nuisance directions gives the same whatever a head looks like along them."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.head import fit_head
from model_store.nuisance import LOOKS, without_nuisance
from tests.unit.model_store.cohorts import synthetic


def test_the_head_does_not_see_what_was_taken_out() -> None:
    x, truth = synthetic(0)
    directions = np.linalg.qr(np.random.default_rng(1).normal(size=(40, 3)))[0].T
    head = fit_head(without_nuisance(x, directions), truth)
    moved = x + 5 * directions.sum(axis=0)
    assert head.logits(moved) == pytest.approx(head.logits(x), abs=1e-9)


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_keeps_shape_type_and_background(look: object, template_slices: np.ndarray) -> None:
    assert callable(look)
    changed = look(template_slices[:4])
    assert changed.shape == template_slices[:4].shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, template_slices[:4])
    assert changed[:, 0, 0].max() == 0
