"""The grid of the training slices in MNI152 space: where every prepared stack lies."""

from __future__ import annotations

import numpy as np

from preprocessing_service.volume import Matrix

GRID_TO_MNI: Matrix = np.array([
    [-1.044, 0.008, 0.032, 89.7],
    [0.023, 1.046, 0.028, -126.843],
    [0.030, -0.072, 1.013, 1.288],
    [0.0, 0.0, 0.0, 1.0],
])  # fmt: skip
"""(4, 4): (column, row, slice, 1) -> mm. Columns run from right to left, rows from posterior to
anterior, slices upwards: the pictures show the head from above with the nose down."""
