"""Step 3: the brain's probability on a coarse lattice over the whole field of view, by deepbet's first network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cc3d
import fill_voids
import numpy as np
import numpy.typing as npt

from contracts.errors import NotAHead
from preprocessing_service.sampling import pick, strided
from preprocessing_service.volume import Volume

Floats = npt.NDArray[np.float32]
Network = Callable[[Floats], Floats]
"""(128, 128, 128) float32 standardised intensities -> brain probability of the same shape."""

SIZE = 128
TAILS = (0.005, 0.995)
"""Quantiles that become 0 and 1 before standardising, as deepbet was trained."""

MEAN, SPREAD = 0.449, 0.226
STRIPPED_VOLUME = (700.0, 2300.0)
"""ml; what a head without skull may hold above its background."""


@dataclass(frozen=True)
class Brain:
    """inside: (128, 128, 128) float32 over the volume's field of view, > 0.5 in the brain, one hole-free piece.

    millilitres: its size. stripped_before: whether the input came without skull, so that no network ran.
    """

    inside: Floats
    millilitres: float
    stripped_before: bool

    def from_voxel(self, volume: Volume) -> npt.NDArray[np.float64]:
        """(4, 4): voxel index of `volume` -> lattice coordinate (cell centres at whole numbers)."""
        ratio = np.array(self.inside.shape) / volume.shape
        matrix = np.diag([*ratio, 1.0])
        matrix[:3, 3] = ratio / 2 - 0.5
        return matrix


def strip(volume: Volume, network: Network) -> Brain:
    """Find the brain in a conformed volume; NotAHead when there is nothing of its kind."""
    cells = pick(strided(volume.voxels), SIZE) * np.float32(volume.slope) + np.float32(volume.intercept)
    cell = abs(np.linalg.det(volume.affine[:3, :3])) * np.prod(volume.shape) / SIZE**3 / 1000
    before = stripped_before(cells, cell)
    inside = before if before is not None else network(standardised(cells))
    piece = largest_piece(inside > 0.5)
    # Off the piece below one half, in its holes above: interpolation then finds one closed surface.
    inside = np.where(piece, np.maximum(inside, np.float32(0.51)), np.minimum(inside, np.float32(0.49)))
    return Brain(inside, float(piece.sum() * cell), before is not None)


def standardised(cells: Floats) -> Floats:
    """The intensities as the network saw them in training; NotAHead when there is no range to speak of."""
    sample = cells.ravel()[::4]
    ranks = [int(tail * sample.size) for tail in TAILS]
    low, high = np.partition(sample, ranks)[ranks]
    if not high > low:
        raise NotAHead("99 % of the voxels hold one value")
    out = np.clip((cells - low) / (high - low), 0, 1)
    return np.asarray((out - out.mean()) / out.std() * np.float32(SPREAD) + np.float32(MEAN), np.float32)


def stripped_before(cells: Floats, cell: float) -> Floats | None:
    """The support of an image whose background is one value and whose rest is one brain-sized piece, or None.

    cell: millilitres per cell. A whole head with a cleared background is two or three times as large.
    """
    background = cells[0, 0, 0]
    support = cells != background
    millilitres = support.sum() * cell
    if not STRIPPED_VOLUME[0] < millilitres < STRIPPED_VOLUME[1]:
        return None
    piece = largest_piece(support)
    if np.count_nonzero(support & piece) < 0.95 * np.count_nonzero(support):
        return None
    return piece.astype(np.float32)


def largest_piece(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest 26-connected piece, holes filled; NotAHead when the mask is empty."""
    if not mask.any():
        raise NotAHead("no brain was found in the image")
    labels = cc3d.connected_components(mask)
    piece = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    return np.asarray(fill_voids.fill(piece), dtype=bool)
