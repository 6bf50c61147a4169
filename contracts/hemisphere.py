"""The box that the anatomy network reads: one hemisphere in MNI152 space at 1 mm, the right one mirrored.

Training (model_store.anatomy) and measuring (preprocessing_service.anatomy) agree on this box, on the order
of the classes and on the names in the weights file; neither imports the other.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from contracts.grid import Grid

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
