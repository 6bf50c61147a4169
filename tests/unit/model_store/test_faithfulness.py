"""Deletion and insertion curves: a map that knows wins, one that does not is no better than the lot."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.evaluation.faithfulness import (
    ORDERS,
    STEPS,
    Curves,
    area,
    grid_of,
    margins,
    ranked,
    versions,
)

GRID = (13, 11)


@pytest.fixture
def disc() -> np.ndarray:
    """(208, 176) uint8, a bright disc."""
    rows, columns = np.mgrid[:208, :176]
    return np.where(np.hypot(rows - 104, columns - 88) < 60, 150, 0).astype(np.uint8)


def test_every_pixel_lies_in_one_place() -> None:
    places = grid_of((208, 176), GRID)
    assert places.shape == (208, 176)
    assert np.array_equal(np.bincount(places.ravel()), np.full(143, 256))


def test_orders_hold_the_same_places_of_the_brain(disc: np.ndarray) -> None:
    importance = np.zeros(GRID)
    importance[4, 5] = 1.0
    orders = ranked(importance, disc, np.random.default_rng(0))
    assert tuple(orders) == ORDERS
    assert orders["map"][0] == 4 * 11 + 5
    assert orders["centre"][0] == 6 * 11 + 5
    assert {tuple(sorted(order)) for order in orders.values()} == {tuple(sorted(orders["map"]))}
    assert 0 not in orders["map"]


def test_deletion_ends_where_insertion_starts(disc: np.ndarray) -> None:
    order = ranked(np.zeros(GRID), disc, np.random.default_rng(0))["random"]
    gone, back = (versions(disc, order, GRID, insert=insert) for insert in (False, True))
    assert gone.shape == (STEPS + 1, 208, 176)
    assert np.array_equal(gone[0], disc)
    inside = np.isin(grid_of(disc.shape, GRID), order)
    assert np.array_equal(gone[-1][inside], back[0][inside])
    assert np.array_equal(back[-1][inside], disc[inside])


def test_margins_are_told_with_their_spread() -> None:
    steps = np.linspace(1, 0, STEPS + 1)
    falling = np.stack([steps**3, steps, steps])
    rising = 1 - falling[:, ::-1] * [[0.5], [1.0], [1.0]]
    noise = np.random.default_rng(0).normal(0, 0.01, (20, 3, 1))
    found = margins(Curves(falling + noise, rising + noise))
    assert set(found) == {f"{way} against {o}" for way in ("deletion", "insertion") for o in ORDERS[1:]}
    assert all(low > 0 for _, low, _ in found.values())
    assert area(steps) == pytest.approx(0.5)
