"""Where in MNI152 space every prepared stack lies, and every brain that is kept to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.stack import HEIGHT, SLICES, WIDTH

GRID_TO_MNI: npt.NDArray[np.float64] = np.array([
    [-1.0425, 0.0094, 0.0271, 88.8845],
    [0.0238, 1.0468, 0.0251, -127.0237],
    [0.0234, -0.0710, 1.0175, 1.7711],
    [0.0, 0.0, 0.0, 1.0],
])  # fmt: skip
"""(4, 4): (column, row, slice, 1) -> mm, from the mean of 166 training stacks
(preprocessing_service/derivations/grid.py).

Columns run from right to left, rows from posterior to anterior, slices upwards: in the pictures the nose is
down and the subject's right on the left. In the middle of the picture the first slice lies at z = -4 mm,
the last at 28 mm. The lengths near 1.04 mm say that the training atlas is smaller than MNI152.
"""


@dataclass(frozen=True)
class Grid:
    """A box of voxels in MNI152 space.

    to_mni: (4, 4), (column, row, slice, 1) -> mm. shape: (slices, rows, columns).
    """

    to_mni: npt.NDArray[np.float64]
    shape: tuple[int, int, int]


TRAINING = Grid(GRID_TO_MNI, (SLICES, HEIGHT, WIDTH))

BRAIN_MM = 1.25
BRAIN = Grid(
    np.array([[BRAIN_MM, 0, 0, -78], [0, BRAIN_MM, 0, -112], [0, 0, BRAIN_MM, -76], [0, 0, 0, 1]]),
    (132, 154, 126),
)
"""Along right, anterior, superior: the template's brain and at least 6 mm around it. Finer voxels than these
would cost preprocessing a fifth of its time for pictures that the model never sees."""
