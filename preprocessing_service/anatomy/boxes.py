"""From a prepared head to the two boxes that the network reads, and back into the 1 mm brain space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imaging.grid import Grid
from imaging.hemisphere import LEFT, RIGHT, SPACE_SHAPE, box_grid, box_in_space, box_to_mni
from preprocessing_service.steps.normalise import normalise
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.steps.resample import resample
from preprocessing_service.volume import Matrix

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
SIDES = (LEFT, RIGHT)
OTHER_SIDE = 10
"""Added to a structure's number on the right side of a label map."""


@dataclass(frozen=True)
class Boxes:
    """Both hemispheres of one head.

    grey: (2, x, y, z) uint8, left and mirrored right (imaging.hemisphere). to_world: (4, 4), MNI152 mm ->
    mm in the input's world.
    """

    grey: Bytes
    to_world: Matrix

    @property
    def voxel_ml(self) -> float:
        """ml of the head that one voxel of the boxes holds."""
        return float(abs(np.linalg.det(self.to_world[:3, :3]))) / 1000


def cut_boxes(head: Prepared) -> Boxes:
    """Read both boxes from the input's own voxels: one interpolation, field removed, calibrated levels."""
    return Boxes(np.stack([_read(head, box_grid(side)) for side in SIDES]), head.alignment.matrix)


def _read(head: Prepared, grid: Grid) -> Bytes:
    grey = resample(head.volume, head.brain, head.alignment, head.tissues, grid=grid)
    return normalise(grey, head.tissues, head.coarse.unit).T


def boxes_of(brain: Bytes, to_world: Matrix) -> Boxes:
    """The boxes of a brain that was kept in the brain space: (157, 195, 167) uint8."""
    return Boxes(np.stack([brain[box_in_space(side)] for side in SIDES]), to_world)


def into_space(labels: Bytes, certainty: Floats) -> Bytes:
    """(157, 195, 167): label maps (2, x, y, z) put together, right labels plus OTHER_SIDE.

    certainty: (2, x, y, z); where the boxes overlap across the midline, the more certain label stays.
    """
    out, best = np.zeros(SPACE_SHAPE, np.uint8), np.zeros(SPACE_SHAPE, np.float32)
    for side in SIDES:
        where = box_in_space(side)
        better = (labels[side] > 0) & (certainty[side] > best[where])
        out[where] = np.where(better, labels[side] + np.uint8(OTHER_SIDE * side), out[where])
        best[where] = np.where(better, certainty[side], best[where])
    return out


def to_box(to_world: Matrix, side: int) -> Matrix:
    """(4, 4): mm in the input's world -> voxel of one side's box."""
    return np.asarray(np.linalg.inv(to_world @ box_to_mni(side)))
