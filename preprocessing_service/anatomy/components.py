"""What of a probability belongs to a structure: its largest component with its holes, and what lies near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from imaging.hemisphere import Structure
from preprocessing_service.brain_extraction.components import box_of, largest_piece

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
    kept = np.zeros(probabilities.shape[1:], np.float32)
    found = probabilities[structure] > HALF
    if not found.any():
        return Kept(kept, 0.0)
    box = _grown(box_of(found), SURROUNDINGS, found.shape)
    kept[box], share = _kept(probabilities[(slice(None), *box)], found[box], structure)
    return Kept(kept, share)


def _kept(near: Floats, found: Mask, structure: Structure) -> tuple[Floats, float]:
    # Only the box around everything that was found is looked at: an eighth of all voxels.
    piece = _horn(near, found) if structure is Structure.INFERIOR_HORN else largest_piece(found)
    around = ndimage.binary_dilation(piece, iterations=SURROUNDINGS)
    kept = np.where(around, near[structure], np.float32(0))
    kept[piece & ~found & (near[0] > near[structure])] = 1
    return kept, float(np.count_nonzero(found & piece) / np.count_nonzero(found))


def _horn(near: Floats, found: Mask) -> Mask:
    beside = near[Structure.HIPPOCAMPUS] + near[Structure.AMYGDALA] > HALF
    if not beside.any():
        return largest_piece(found)
    numbers, _ = ndimage.label(found)
    touched = np.unique(numbers[ndimage.binary_dilation(beside, iterations=NEAR) & found])
    return np.asarray(np.isin(numbers, touched[touched > 0]), dtype=bool)


def _grown(box: tuple[slice, slice, slice], by: int, shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    a, b, c = (slice(max(0, s.start - by), min(n, s.stop + by)) for s, n in zip(box, shape, strict=True))
    return a, b, c
