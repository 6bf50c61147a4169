"""Step 4b, only when the first brain fits the template badly: strip once more with the head turned upright.

The network saw upright heads in training; one pitched by 40 degrees loses cerebellum or gains neck. The first
alignment is good enough to turn it back.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preprocessing_service.sampling import OUTSIDE, pick, sample, strided
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.strip import SIZE, Brain, Network, closed, standardised
from preprocessing_service.volume import Matrix, Volume

Floats = npt.NDArray[np.float32]
BELOW = 0.92
"""Overlap of brain and template under which a second look is worth its third of a second."""

FIELD = 256.0
"""mm; the upright lattice's edge, about an ordinary field of view."""

DROP = 15.0
"""mm the lattice lies below the brain's middle, as heads lie in ordinary scans."""


def restrip(volume: Volume, brain: Brain, found: tuple[Alignment, Matrix], network: Network) -> Brain:
    """The brain seen upright, on the volume's own lattice. found: alignment, and template's centre in mm."""
    cells = pick(strided(volume.voxels), SIZE, (volume.slope, volume.intercept))
    # Both lattices have SIZE cells a side: one maps to the other through the head's world.
    to_cell = brain.from_voxel(volume) @ np.linalg.inv(volume.affine) @ upright(*found)
    every = np.stack(np.meshgrid(*[np.arange(SIZE, dtype=np.float32)] * 3, indexing="ij"), -1).reshape(-1, 3)
    seen = sample(cells, to_cell[:3], every).reshape(cells.shape)
    seen[seen == OUTSIDE] = cells.min()
    inside = network(standardised(seen))
    from_cell: Matrix = np.asarray(np.linalg.inv(to_cell), dtype=np.float64)
    back = sample(inside, from_cell[:3], every).reshape(cells.shape)
    cell = brain.millilitres / float(np.count_nonzero(brain.inside > 0.5))
    return closed(np.maximum(back, 0), cell)


def upright(alignment: Alignment, centre: Matrix) -> Matrix:
    """(4, 4): upright lattice index -> mm in the head's world: the alignment without scale and shear."""
    left, _, right = np.linalg.svd(alignment.matrix[:3, :3])
    turn = left @ right
    spacing = FIELD / SIZE
    matrix = np.eye(4)
    matrix[:3, :3] = turn * spacing
    middle = alignment.matrix[:3, :3] @ centre + alignment.matrix[:3, 3] - turn @ (0.0, 0.0, DROP)
    matrix[:3, 3] = middle - matrix[:3, :3] @ np.full(3, (SIZE - 1) / 2)
    return matrix
