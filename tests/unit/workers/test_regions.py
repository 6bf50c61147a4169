"""A map that is bright in one place makes that region stand out, and its neighbours less."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.stack import HEIGHT, SLICES, WIDTH
from imaging.grid import GRID_TO_MNI
from workers.inference.regions import REGIONS, activation_by_region


def lit(x: float, y: float, z: float, shape: tuple[int, int] = (7, 6)) -> np.ndarray:
    """A map with one bright cell where the MNI point lies, in the nearest slice."""
    column, row, k = (np.linalg.inv(GRID_TO_MNI) @ [x, y, z, 1])[:3]
    maps = np.zeros((SLICES, *shape), np.float16)
    cell = int(row * shape[0] / HEIGHT), int(column * shape[1] / WIDTH)
    maps[(round(k), *cell)] = 1
    return maps


@pytest.mark.parametrize(
    ("region", "point"),
    [
        ("frontal cortex", (10, 55, 10)),
        ("occipital cortex", (-10, -95, 5)),
        ("lateral ventricles", (-12, 0, 20)),
        ("medial temporal lobe", (26, -30, -3)),
        ("lateral temporal cortex", (-60, -20, 0)),
        ("precuneus and cingulate", (4, -60, 20)),
    ],
)
def test_the_lit_region_stands_out(region: str, point: tuple[float, float, float]) -> None:
    found = activation_by_region(lit(*point, shape=(52, 44)))
    assert max(found, key=found.__getitem__) == region
    assert found[region] > 3


def test_an_even_map_is_average_everywhere_and_a_dark_one_nothing() -> None:
    even = activation_by_region(np.ones((SLICES, 7, 6)))
    assert all(value == pytest.approx(1) for value in even.values())
    assert set(activation_by_region(np.zeros((SLICES, 7, 6))).values()) == {0.0}


def test_every_region_has_cells_on_the_models_own_maps() -> None:
    spot = activation_by_region(np.random.default_rng(0).random((SLICES, 7, 6)))
    assert set(spot) == set(REGIONS)
    assert all(np.isfinite(list(spot.values())))
