"""The box that the anatomy network reads: one hemisphere in MNI152 space at 1 mm, the right one mirrored.

Training (model_store.anatomy) and measuring (preprocessing_service.anatomy) agree on this box, on the order
of the classes and on the names in the weights file; neither imports the other.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from imaging.grid import Grid

SHAPE = (56, 136, 88)
"""Voxels of 1 mm along x, y and z; every edge is a multiple of 8, because the network halves three times."""

CORNER = (-51.0, -95.0, -43.0)
"""MNI mm of the left box's voxel (0, 0, 0); x runs towards the midline and 4 mm across it."""

LEFT, RIGHT = 0, 1
CLASSES = ("background", "hippocampus", "inferior horn", "lateral ventricle", "amygdala")


class Structure(IntEnum):
    """What the network tells apart; the value is the channel and the label in every label map."""

    HIPPOCAMPUS = 1
    INFERIOR_HORN = 2
    LATERAL_VENTRICLE = 3
    AMYGDALA = 4


def box_to_mni(side: int) -> npt.NDArray[np.float64]:
    """(4, 4): voxel of one side's box -> MNI152 mm; LEFT, or RIGHT for the mirrored one."""
    matrix = np.eye(4)
    matrix[:3, 3] = CORNER
    if side == RIGHT:
        matrix[0] *= -1
    return matrix


def box_grid(side: int) -> Grid:
    """The same box as the resampling step takes it."""
    x, y, z = SHAPE
    return Grid(box_to_mni(side), (z, y, x))


SPACE_CORNER = (-78.0, -112.0, -76.0)
SPACE_SHAPE = (157, 195, 167)
"""The 1 mm brain space: MNI152 mm of its voxel (0, 0, 0) and its size along right, anterior, superior.

Its voxels are those of both boxes, so going from a box to it and back copies numbers, without interpolation.
"""


def space_to_mni() -> npt.NDArray[np.float64]:
    """(4, 4): voxel of the brain space -> MNI152 mm."""
    matrix = np.eye(4)
    matrix[:3, 3] = SPACE_CORNER
    return matrix


def box_in_space(side: int) -> tuple[slice, slice, slice]:
    """Where one side's box lies in the brain space; the right one runs backwards along x."""
    x, y, z = (round(at - begin) for at, begin in zip(CORNER, SPACE_CORNER, strict=True))
    along = slice(y, y + SHAPE[1]), slice(z, z + SHAPE[2])
    if side == LEFT:
        return slice(x, x + SHAPE[0]), *along
    last = round(-CORNER[0] - SPACE_CORNER[0])
    return slice(last, last - SHAPE[0], -1), *along
