"""Step 3: where the brain is, on a coarse lattice over the field of view, by deepbet's first network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from contracts.errors import BadVoxels, NotAHead
from preprocessing_service.brain_extraction.components import box_of, largest_piece
from preprocessing_service.compiled import compiled
from preprocessing_service.sampling import pick, strided
from preprocessing_service.volume import Volume

Floats = npt.NDArray[np.float32]
Network = Callable[[Floats], Floats]
"""(n, n, n) float32 standardised intensities -> brain probability of the same shape, in the same memory."""

SIZE = 128
HALF = np.float32(0.5)
TAILS = (0.005, 0.995)
"""Quantiles that become 0 and 1 before standardising, as deepbet was trained."""

MOST_RANGE = 1e37
"""Between the tails: a tenth of what float32 holds, so that differences of voxels stay finite."""

MEAN, SPREAD = 0.449, 0.226
STRIPPED_VOLUME = (400.0, 4000.0)
"""ml; what a head without skull may hold above its background."""

STRIPPED_SHARE = 0.75
"""Of that, what the network must take for brain."""


@dataclass(frozen=True)
class Brain:
    """The brain of one volume.

    inside: (n, n, n) float32 over the field of view, > 0.5 in the brain, one piece without holes.
    millilitres: its size. stripped_before: the input came without skull, and its own support was taken.
    """

    inside: Floats
    millilitres: float
    stripped_before: bool

    @cached_property
    def box(self) -> tuple[slice, slice, slice]:
        """Where the brain lies on the lattice."""
        return box_of(self.inside > HALF)

    def from_voxel(self, volume: Volume) -> npt.NDArray[np.float64]:
        """(4, 4): voxel index of `volume` -> lattice coordinate (cell centres at whole numbers)."""
        ratio = np.array(self.inside.shape) / volume.shape
        matrix = np.diag([*ratio, 1.0])
        matrix[:3, 3] = ratio / 2 - 0.5
        return matrix


def strip(volume: Volume, network: Network) -> Brain:
    """Find the brain in a conformed volume; NotAHead when there is nothing of its kind."""
    cells = pick(strided(volume.voxels), SIZE, (volume.slope, volume.intercept))
    cell = abs(np.linalg.det(volume.affine[:3, :3])) * np.prod(volume.shape) / SIZE**3 / 1000
    inside = network(standardised(cells, tails(cells)))
    support = bare_brain(cells, inside > 0.5, cell)
    if support is not None:
        return closed(support, cell, stripped_before=True)
    return closed(inside, cell)


def closed(inside: Floats, cell: float, *, stripped_before: bool = False) -> Brain:
    """One piece without holes of a probability, in the same memory; NotAHead when it is empty.

    cell: ml that one cell holds.
    """
    found = inside > 0.5
    if not found.any():
        raise NotAHead("no brain was found in the image")
    piece = largest_piece(found)
    # Off the piece below one half, in its holes above: interpolation then finds one closed surface.
    _part(inside, piece)
    return Brain(inside, float(np.count_nonzero(piece) * cell), stripped_before)


@compiled
def _part(inside: Floats, piece: npt.NDArray[np.bool_]) -> None:
    for i in range(inside.shape[0]):
        for j in range(inside.shape[1]):
            for k in range(inside.shape[2]):
                value = inside[i, j, k]
                bound = np.float32(0.51) if piece[i, j, k] else np.float32(0.49)
                inside[i, j, k] = max(value, bound) if piece[i, j, k] else min(value, bound)


def tails(cells: Floats) -> tuple[float, float]:
    """The quantiles TAILS of a whole field of view.

    NotAHead when there is no range to speak of, BadVoxels when float32 cannot hold it.
    """
    sample = cells.ravel()[::13]  # no divisor of the lattice: every plane takes part
    ranks = [int(tail * sample.size) for tail in TAILS]
    low, high = np.partition(sample, ranks)[ranks]
    if not high > low:
        raise NotAHead("99 % of the voxels hold one value")
    if float(high) - float(low) > MOST_RANGE:
        raise BadVoxels(f"the intensities run from {low:.1e} to {high:.1e}; look at the header's scaling")
    return float(low), float(high)


def standardised(cells: Floats, ends: tuple[float, float], *, out: Floats | None = None) -> Floats:
    """The intensities as the networks saw them in training, `ends` becoming 0 and 1 first.

    out: contiguous, of the same shape; `cells` itself saves its memory.
    """
    made = np.empty(cells.shape, np.float32) if out is None else out
    _standardise(cells.reshape(-1), ends, made.reshape(-1))
    return made


@compiled
def _standardise(cells: Floats, ends: tuple[float, float], out: Floats) -> None:
    low, high = ends
    first, gain = np.float32(low), np.float32(1 / (high - low))
    total, squares = 0.0, 0.0
    for n in range(cells.size):
        value = min(max((cells[n] - first) * gain, np.float32(0)), np.float32(1))
        out[n] = value
        total += value
        squares += value * value
    middle = total / cells.size
    spread = np.sqrt(max(squares / cells.size - middle * middle, 1e-12))
    scale = np.float32(SPREAD / spread)
    shift = np.float32(MEAN - middle * SPREAD / spread)
    for n in range(cells.size):
        out[n] = out[n] * scale + shift


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
