"""What of a probability belongs to a structure: its largest component with its holes, and what lies near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from contracts.hemisphere import Structure
from preprocessing_service.pieces import largest_piece

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
HALF = 0.5
SURROUNDINGS = 3
"""mm around the component that still count: probability falls off at an edge, and its sum is the volume."""

NEAR = 4
"""mm from hippocampus or amygdala within which every component of the inferior horn is kept: it is thin, and
breaks up where fluid is less than a voxel wide."""


@dataclass(frozen=True)
class Kept:
    """probability: (x, y, z), zero away from the structure, one in its holes. share: of the found voxels that
    belong to the kept components."""

    probability: Floats
    share: float


def keep_structure(probabilities: Floats, structure: Structure) -> Kept:
    """One structure of one side; probabilities: (5, x, y, z)."""
    probability = probabilities[structure]
    found = probability > HALF
    if not found.any():
        return Kept(np.zeros_like(probability), 0.0)
    piece = _horn(probabilities, found) if structure is Structure.INFERIOR_HORN else largest_piece(found)
    near = ndimage.binary_dilation(piece, iterations=SURROUNDINGS)
    kept = np.where(near, probability, np.float32(0))
    holes = piece & ~found & (probabilities[0] > probability)
    kept[holes] = 1
    return Kept(kept, float(np.count_nonzero(found & piece) / np.count_nonzero(found)))


def _horn(probabilities: Floats, found: Mask) -> Mask:
    beside = probabilities[Structure.HIPPOCAMPUS] + probabilities[Structure.AMYGDALA] > HALF
    if not beside.any():
        return largest_piece(found)
    numbers, _ = ndimage.label(found)
    near = ndimage.binary_dilation(beside, iterations=NEAR)
    touched = np.unique(numbers[near & found])
    return np.asarray(np.isin(numbers, touched[touched > 0]) & found, dtype=bool)
