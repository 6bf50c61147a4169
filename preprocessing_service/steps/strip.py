"""Step 3: where the brain is, on a coarse lattice over the field of view, by deepbet's first network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.errors import NotAHead
from preprocessing_service.pieces import largest_piece
from preprocessing_service.sampling import pick, strided
from preprocessing_service.volume import Volume

Floats = npt.NDArray[np.float32]
Network = Callable[[Floats], Floats]
"""(128, 128, 128) float32 standardised intensities -> brain probability of the same shape."""

SIZE = 128
TAILS = (0.005, 0.995)
"""Quantiles that become 0 and 1 before standardising, as deepbet was trained."""

MEAN, SPREAD = 0.449, 0.226
STRIPPED_VOLUME = (400.0, 4000.0)
"""ml; what a head without skull may hold above its background."""

STRIPPED_SHARE = 0.75
"""Of that, what the network must take for brain."""


@dataclass(frozen=True)
class Brain:
    """The brain of one volume.

    inside: (128, 128, 128) float32 over the field of view, > 0.5 in the brain, one piece without holes.
    millilitres: its size. stripped_before: the input came without skull, and its own support was taken.
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
    inside = network(standardised(cells))
    support = bare_brain(cells, inside > 0.5, cell)
    if support is not None:
        return closed(support, cell, stripped_before=True)
    return closed(inside, cell)


def closed(inside: Floats, cell: float, *, stripped_before: bool = False) -> Brain:
    """One piece without holes of a probability whose cells hold `cell` ml each; NotAHead when it is empty."""
    found = inside > 0.5
    if not found.any():
        raise NotAHead("no brain was found in the image")
    piece = largest_piece(found)
    # Off the piece below one half, in its holes above: interpolation then finds one closed surface.
    inside = np.where(piece, np.maximum(inside, np.float32(0.51)), np.minimum(inside, np.float32(0.49)))
    return Brain(inside, float(piece.sum() * cell), stripped_before)


def standardised(cells: Floats) -> Floats:
    """The intensities as the network saw them in training; NotAHead when there is no range to speak of."""
    sample = cells.ravel()[::7]  # no divisor of the lattice: every plane takes part
    ranks = [int(tail * sample.size) for tail in TAILS]
    low, high = np.partition(sample, ranks)[ranks]
    if not high > low:
        raise NotAHead("99 % of the voxels hold one value")
    out = np.clip((cells - low) / (high - low), 0, 1)
    return np.asarray((out - out.mean()) / out.std() * np.float32(SPREAD) + np.float32(MEAN), np.float32)


def bare_brain(cells: Floats, seen: npt.NDArray[np.bool_], cell: float) -> Floats | None:
    """The support of an image that was stripped before, else None.

    Such an image has one background value, and the rest is one brain-sized piece (`cell` ml per cell) that is
    little more than what the network sees (`seen`) as brain; with scalp and skull it is nearly twice as much.
    """
    support = cells != cells[0, 0, 0]
    size = np.count_nonzero(support)
    if (
        not STRIPPED_VOLUME[0] < size * cell < STRIPPED_VOLUME[1]
        or np.count_nonzero(seen) < STRIPPED_SHARE * size
    ):
        return None
    piece = largest_piece(support)
    if np.count_nonzero(support & piece) < 0.95 * size:
        return None
    return piece.astype(np.float32)
