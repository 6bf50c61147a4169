"""Millilitres per structure and side, asymmetry and the hippocampal occupancy of one head."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from imaging.hemisphere import LEFT, RIGHT, Structure
from preprocessing_service.anatomy.calibration import Line

Floats = npt.NDArray[np.float32]
Millilitres = dict[tuple[Structure, int], float]
"""(structure, side) -> ml."""


def summed(kept: Mapping[tuple[Structure, int], Floats], voxel_ml: float) -> Millilitres:
    """Sums of probability in ml: an edge voxel counts by its share, so volumes change smoothly.

    kept: (structure, side) -> probability where it belongs to the structure (components.py).
    """
    return {key: float(p.sum(dtype=np.float64)) * voxel_ml for key, p in kept.items()}


def calibrated(measured: Millilitres, lines: Mapping[Structure, Line]) -> Millilitres:
    """The same on the scale of manual labels."""
    return {(one, side): lines[one](ml) for (one, side), ml in measured.items()}


def asymmetry(ml: Millilitres, structure: Structure) -> float | None:
    """(left - right) / mean of both; None when there is nothing on either side."""
    left, right = ml[structure, LEFT], ml[structure, RIGHT]
    return 2 * (left - right) / (left + right) if left + right > 0 else None


def occupancy(ml: Millilitres, side: int) -> float | None:
    """HOC, the hippocampal occupancy score: hippocampus / (hippocampus + inferior horn).

    Low where the hippocampus has shrunk and the horn has filled its place (Heister et al. 2011, Neurology
    77:1619). None when neither was found.
    """
    hippocampus, horn = ml[Structure.HIPPOCAMPUS, side], ml[Structure.INFERIOR_HORN, side]
    return hippocampus / (hippocampus + horn) if hippocampus + horn > 0 else None
