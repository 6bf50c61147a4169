"""The head at about 2 mm, with and without its skull: what alignment and tissue estimation look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from contracts.errors import NotAHead
from preprocessing_service.sampling import average
from preprocessing_service.steps.strip import Brain
from preprocessing_service.volume import Matrix, Volume

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]
SPACING = 2.0
"""mm; the finest level of the alignment is blurred by as much."""

MARGIN = 10
"""Cells kept around the brain; the alignment never looks further."""

LEAST_CELLS = 1000
"""Cells with signal below which there is nothing to align."""


@dataclass(frozen=True)
class Picture:
    """voxels: (a, b, c) float32. affine: (4, 4), voxel -> mm."""

    voxels: Floats
    affine: Matrix


@dataclass(frozen=True)
class CoarseHead:
    """brain: zero outside the brain; whole: the same box unstripped. Intensities have the brain's median 1.

    unit: the intensity of the input that became 1.
    """

    brain: Picture
    whole: Picture
    unit: float


def coarsen(volume: Volume, brain: Brain) -> CoarseHead:
    """Average a box around the brain in blocks of about 2 mm; NotAHead when the brain holds no signal."""
    factors = np.maximum(1, np.rint(SPACING / volume.zooms)).astype(int)
    blocks = np.array(volume.shape) // factors
    first, last = _box(brain, blocks)
    whole = average(volume.voxels, _triple(factors), _triple(first), _triple(last - first))
    whole = whole * np.float32(volume.slope) + np.float32(volume.intercept)
    inside = _at_blocks(brain, (first, last), factors, np.array(volume.shape))
    lit = whole[inside & (whole > 0)]
    if lit.size < LEAST_CELLS:
        raise NotAHead("the brain that was found holds no signal")
    unit = np.float32(np.median(lit[::3]))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (first * factors + (factors - 1) / 2)
    affine[:3, :3] *= factors
    whole /= unit
    stripped = Picture(np.where(inside, whole, np.float32(0)), affine)
    return CoarseHead(stripped, Picture(whole, affine), float(unit))


def blurred(picture: Picture, blur: float) -> Picture:
    """Blurred to a standard deviation of `blur` mm, less what averaging in blocks has blurred already."""
    widths = np.linalg.norm(picture.affine[:3, :3], axis=0)
    # A box has variance width^2 / 12, and linear reading adds as much again.
    sigmas = np.sqrt(np.maximum(0, blur**2 - widths**2 / 6)) / widths
    if sigmas.max() < 0.25:
        return picture
    return Picture(ndimage.gaussian_filter(picture.voxels, sigmas, truncate=2.5), picture.affine)


def halved(picture: Picture) -> Picture:
    """Averaged two by two by two; an odd last plane is dropped."""
    voxels: Floats = picture.voxels
    for axis in range(3):
        cut = np.moveaxis(voxels, axis, 0)[: voxels.shape[axis] // 2 * 2]
        voxels = np.moveaxis((cut[::2] + cut[1::2]) * np.float32(0.5), 0, axis)
    affine = picture.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (0.5, 0.5, 0.5)
    affine[:3, :3] *= 2
    return Picture(np.ascontiguousarray(voxels), affine)


def _box(brain: Brain, blocks: Index) -> tuple[Index, Index]:
    found = brain.inside > 0.5
    lit = [np.flatnonzero(found.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    size = np.array(found.shape)
    first = np.array([axis[0] for axis in lit]) * blocks // size - MARGIN
    last = (np.array([axis[-1] for axis in lit]) + 1) * blocks // size + MARGIN
    return np.maximum(first, 0), np.minimum(last, blocks)


def _at_blocks(brain: Brain, box: tuple[Index, Index], factors: Index, shape: Index) -> npt.NDArray[np.bool_]:
    # The lattice cell that each block's middle falls into.
    first, last = box
    cells = [
        ((np.arange(first[a], last[a]) + 0.5) * factors[a] * brain.inside.shape[a] / shape[a]).astype(int)
        for a in range(3)
    ]
    return brain.inside[np.ix_(*cells)] > 0.5


def _triple(numbers: Index) -> tuple[int, int, int]:
    a, b, c = (int(number) for number in numbers)
    return a, b, c
