"""The grid of the training slices in MNI152 space: where every prepared stack lies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GRID_TO_MNI: npt.NDArray[np.float64] = np.array([
    [-1.0425, 0.0094, 0.0271, 88.8845],
    [0.0238, 1.0468, 0.0251, -127.0237],
    [0.0234, -0.0710, 1.0175, 1.7711],
    [0.0, 0.0, 0.0, 1.0],
])  # fmt: skip
"""(4, 4): (column, row, slice, 1) -> mm, from the mean of 166 training stacks
(preprocessing_service/derive_grid.py).

Columns run from right to left, rows from posterior to anterior, slices upwards: in the pictures the nose is
down and the subject's right on the left. In the middle of the picture the first slice lies at z = -4 mm,
the last at 28 mm. The lengths near 1.04 mm say that the training atlas is smaller than MNI152.
"""
