"""Step 8a: how bright fluid, grey and white matter are, measured where neither age nor atrophy decides.

T1 is the contrast with dark fluid and white matter brighter than its grey neighbours, in cerebrum and
cerebellum alike. FLAIR has the dark fluid without that order, T2 and proton density have neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing_service.coarse import CoarseHead
from preprocessing_service.polynomial import basis
from preprocessing_service.regions import PAIRS, VENTRICLES
from preprocessing_service.sampling import sample
from preprocessing_service.steps.bias import Tissues
from preprocessing_service.steps.register import Alignment
from preprocessing_service.template import Regions

Floats = npt.NDArray[np.float32]
NEAR_FLUID = 0.5
"""Of bright tissue: a point with a darker neighbour may be half fluid, and says nothing about tissue."""

BRIGHT = 0.75
"""Quantile of all points that stands for bright tissue."""

DARK = 0.25
"""Quantile of the ventricles' points that stands for fluid: narrow ventricles hold few pure ones."""

LEAST_PAIRS = 2
FEWEST, LEAST_SHARE = 5, 0.05
"""Points of a region, and share of them, that must be free of fluid for it to count."""

NO_WHITE = 9.0
"""Fluid over white matter where there is no white matter."""


@dataclass(frozen=True)
class Contrast:
    """white_grey_ratio: brightness of white matter over its grey neighbours', the median over the pairs; 0 if
    too few can be compared.

    white_dark_ratio: the same with all the points that may hold fluid, or grey matter as dark as that.
    fluid_white_ratio: brightness of what is darkest in the ventricles over that of white matter.
    ventricle_white_ratio: the same of all their points, whatever these hold.
    """

    white_grey_ratio: float
    white_dark_ratio: float
    fluid_white_ratio: float
    ventricle_white_ratio: float


def contrast(head: CoarseHead, alignment: Alignment, tissues: Tissues, regions: Regions) -> Contrast:
    """Compare tissues in the template's regions, without the coil's field."""
    brain = head.brain
    to_cell = np.linalg.inv(brain.affine) @ alignment.matrix
    field = np.exp(basis(regions.points) @ tissues.field)
    seen, darkest = (
        np.maximum(sample(voxels, to_cell, regions.points), 0) / field
        for voxels in (brain.voxels, darkest_neighbour(brain.voxels))
    )
    bright = float(np.quantile(seen, BRIGHT))
    tissue = darkest > NEAR_FLUID * bright
    levels = _levels(seen, tissue, regions)
    every = _levels(seen, seen > 0, regions)
    ventricles = regions.numbers == VENTRICLES
    return Contrast(
        _ratio(levels),
        _ratio(every),
        _over_white(float(np.quantile(darkest[ventricles], DARK)), levels),
        _over_white(float(np.median(seen[ventricles])), every),
    )


def _over_white(fluid: float, levels: list[float]) -> float:
    white = [levels[white] for white, _ in PAIRS if levels[white] > 0]
    return fluid / float(np.median(white)) if white else NO_WHITE


def _ratio(levels: list[float]) -> float:
    ratios = [levels[white] / levels[grey] for white, grey in PAIRS if levels[white] * levels[grey] > 0]
    return float(np.median(ratios)) if len(ratios) >= LEAST_PAIRS else 0.0


def _levels(seen: Floats, wanted: npt.NDArray[np.bool_], regions: Regions) -> list[float]:
    """Of every region by its number, 0 being none of them."""
    return [_level(seen, wanted, regions.numbers == number) for number in range(VENTRICLES)]


def _level(seen: Floats, wanted: npt.NDArray[np.bool_], region: npt.NDArray[np.bool_]) -> float:
    """Median of the region's wanted points; 0 when there are too few."""
    values = seen[region & wanted]
    enough = max(FEWEST, LEAST_SHARE * np.count_nonzero(region))
    return float(np.median(values)) if len(values) >= enough else 0.0


def darkest_neighbour(voxels: Floats) -> Floats:
    """The least of every cell and its six neighbours."""
    least = voxels.copy()
    for axis in range(3):
        out, source = np.moveaxis(least, axis, 0), np.moveaxis(voxels, axis, 0)
        np.minimum(out[1:], source[:-1], out=out[1:])
        np.minimum(out[:-1], source[1:], out=out[:-1])
    return least
