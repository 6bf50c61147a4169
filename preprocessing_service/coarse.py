"""The head at about 2 mm, with and without its skull: what alignment and tissue estimation look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from contracts.errors import NotAHead
from preprocessing_service.compiled import compiled
from preprocessing_service.sampling import average
from preprocessing_service.steps.strip import HALF, Brain
from preprocessing_service.volume import Matrix, Volume

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]
Box = tuple[Index, Index]
"""First and one past the last block along each axis."""

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
    whole *= np.float32(volume.slope)
    whole += np.float32(volume.intercept)
    cells = _cells(brain, (first, last), factors, np.array(volume.shape))
    stripped, lit = _stripped(whole, brain.inside, cells)
    if lit.size < LEAST_CELLS:
        raise NotAHead("the brain that was found holds no signal")
    unit = np.float32(np.median(lit[::3]))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (first * factors + (factors - 1) / 2)
    affine[:3, :3] *= factors
    for voxels in (whole, stripped):
        voxels *= 1 / unit
    return CoarseHead(Picture(stripped, affine), Picture(whole, affine), float(unit))


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


def _box(brain: Brain, blocks: Index) -> Box:
    size = np.array(brain.inside.shape)
    first = np.array([axis.start for axis in brain.box]) * blocks // size - MARGIN
    last = np.array([axis.stop for axis in brain.box]) * blocks // size + MARGIN
    return np.maximum(first, 0), np.minimum(last, blocks)


def _cells(brain: Brain, box: Box, factors: Index, shape: Index) -> tuple[Index, Index, Index]:
    """The lattice cell that each block's middle falls into, axis by axis."""
    first, last = box
    ratio = factors * brain.inside.shape / shape
    a, b, c = (((np.arange(first[n], last[n]) + 0.5) * ratio[n]).astype(np.int64) for n in range(3))
    return a, b, c


@compiled
def _stripped(whole: Floats, inside: Floats, cells: tuple[Index, Index, Index]) -> tuple[Floats, Floats]:
    """`whole` with zeros where `inside` is no brain, and the values above zero that are left."""
    out, lit, count = np.zeros(whole.shape, np.float32), np.empty(whole.size, np.float32), 0
    for i in range(whole.shape[0]):
        for j in range(whole.shape[1]):
            row = inside[cells[0][i], cells[1][j]]
            for k in range(whole.shape[2]):
                if row[cells[2][k]] > HALF:
                    value = whole[i, j, k]
                    out[i, j, k] = value
                    if value > 0:
                        lit[count] = value
                        count += 1
    return out, lit[:count]


def _triple(numbers: Index) -> tuple[int, int, int]:
    a, b, c = (int(number) for number in numbers)
    return a, b, c
