"""Anatomical regions of the slab, and how strongly a map lights up in each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from contracts.stack import HEIGHT, SLICES, WIDTH
from imaging.grid import GRID_TO_MNI

Extent = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Extents in MNI152 mm; `side` is |x|, so a box stands in both hemispheres."""

    side: Extent
    y: Extent
    z: Extent


REGIONS: dict[str, tuple[Box, ...]] = {
    "medial temporal lobe": (Box((12, 40), (-45, -8), (-10, 2)),),
    "lateral ventricles": (Box((0, 24), (-32, 24), (13, 30)), Box((10, 34), (-52, -32), (-2, 24))),
    "deep grey matter": (Box((3, 34), (-32, 20), (-8, 13)),),
    "insula and Sylvian fissure": (Box((34, 48), (-32, 24), (-6, 20)),),
    "lateral temporal cortex": (Box((48, 72), (-62, 14), (-10, 12)),),
    "temporo-parietal cortex": (Box((34, 72), (-80, -32), (12, 32)),),
    "precuneus and cingulate": (Box((0, 20), (-76, -40), (6, 32)),),
    "occipital cortex": (Box((0, 50), (-108, -76), (-10, 32)),),
    "frontal cortex": (Box((0, 60), (24, 76), (-10, 32)),),
}
"""Boxes read off the MNI152 template, after the extents of the Harvard-Oxford atlases (Desikan et al. 2006,
NeuroImage 31:968). A map cell is about 30 mm wide, so neighbours share much of their light."""

_CENTRE, _RADII = np.array([0.0, -17.0, 8.0]), np.array([70.0, 89.0, 76.0])
"""The ellipsoid around the template's brain (mm)."""


def activation_by_region(maps: npt.NDArray[np.floating]) -> dict[str, float]:
    """Region -> mean of the map there over its mean in the brain; 1 is average, all 0 for a dark map.

    maps: (slices, height, width) of one class, each cell covering its share of the (208, 176) slice.
    """
    light = maps.astype(np.float64)
    everywhere = _mean(light, _cells("", light.shape[1:]))
    if everywhere <= 0:
        return dict.fromkeys(REGIONS, 0.0)
    return {name: _mean(light, _cells(name, light.shape[1:])) / everywhere for name in REGIONS}


def _mean(light: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    return float((light * weights).sum() / weights.sum())


@lru_cache(maxsize=64)
def _cells(region: str, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """(slices, height, width): samples of each map cell that lie in the region ("": in the brain)."""
    rows, columns, at = _samples()
    inside = (((at - _CENTRE) / _RADII) ** 2).sum(axis=-1) <= 1
    if region:
        inside &= np.any([_in(box, at) for box in REGIONS[region]], axis=0)
    weights = np.zeros((SLICES, *shape))
    into = np.ix_(np.arange(SLICES), rows * shape[0] // HEIGHT, columns * shape[1] // WIDTH)
    np.add.at(weights, into, inside)
    return weights


@lru_cache(maxsize=1)
def _samples() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Every fourth row and column, and where they lie: (slices, rows, columns, 3) MNI mm."""
    rows, columns = np.arange(2, HEIGHT, 4), np.arange(2, WIDTH, 4)
    k, row, column = np.meshgrid(np.arange(SLICES), rows, columns, indexing="ij")
    at = np.stack([column, row, k, np.ones_like(k)], axis=-1)
    return rows, columns, at @ GRID_TO_MNI[:3].T


def _in(box: Box, at: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    low, high = np.array([box.side, box.y, box.z]).T
    place = np.concatenate([np.abs(at[..., :1]), at[..., 1:]], axis=-1)
    inside: npt.NDArray[np.bool_] = ((low <= place) & (place <= high)).all(axis=-1)
    return inside
