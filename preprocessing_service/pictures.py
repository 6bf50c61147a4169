"""Pictures a person can check: the brain's outline on the head, the template's on the brain, the slices.

All are (rows, columns) uint8: 0 to 254 are greys, OUTLINE is drawn in amber. They hang as radiologists hang
them: nose up, the subject's right on the left.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from contracts.stack import SLICES
from preprocessing_service.brain_extraction.components import box_of
from preprocessing_service.coarse import Picture
from preprocessing_service.sampling import sample
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.template import BRAIN_SPACING, Template

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
OUTLINE = 255
GAP = 4
"""Pixels between tiles."""

ACROSS = 8
"""Slices in one line of the sheet."""

SCALE = 2
"""Screen pixels a coarse cell."""

RIM = 6
"""Cells of about 2 mm that are shown around the brain: skull and scalp to judge the outline by, no face."""


def slices_picture(slices: Grey) -> Grey:
    """The (32, 208, 176) stack as one picture, four lines of eight, lowest slice first."""
    upright = slices[:, ::-1]
    lines = [np.hstack([*upright[at : at + ACROSS]]) for at in range(0, SLICES, ACROSS)]
    return np.asarray(np.minimum(np.vstack(lines), OUTLINE - 1), np.uint8)


def brain_picture(head: Prepared) -> Grey:
    """Three cuts through the unstripped head, no more than RIM around the brain, with the brain's outline."""
    brain = head.coarse.brain.voxels > 0

    def outlined(axis: int, at: int) -> Grey:
        lit = np.take(brain, at, axis)
        near = ndimage.binary_dilation(lit, iterations=RIM)
        return _drawn(np.where(near, np.take(head.coarse.whole.voxels, at, axis), 0), lit, axis)

    return _three_cuts(brain, outlined)


def template_picture(head: Prepared, template: Template) -> Grey:
    """Three cuts through the stripped brain with the outline of the template laid on it."""
    brain, lattice = head.coarse.brain, brain_lattice(template)
    to_lattice = np.linalg.inv(head.alignment.matrix @ lattice.affine) @ brain.affine

    def outlined(axis: int, at: int) -> Grey:
        cells = _cells(brain.voxels.shape, axis, at)
        covered = sample(lattice.voxels, to_lattice[:3], cells.reshape(-1, 3)) > 0.5
        return _drawn(np.take(brain.voxels, at, axis), covered.reshape(cells.shape[:2]), axis)

    return _three_cuts(brain.voxels > 0, outlined)


def brain_lattice(template: Template) -> Picture:
    """The template's brain as 0 and 1 on the lattice that its points were taken from, one cell of rim."""
    corner = template.brain.min(0) - BRAIN_SPACING
    cells = np.rint((template.brain - corner) / BRAIN_SPACING).astype(int)
    voxels = np.zeros(cells.max(0) + 2, np.float32)
    voxels[tuple(cells.T)] = 1
    affine = np.diag([BRAIN_SPACING] * 3 + [1.0])
    affine[:3, 3] = corner
    return Picture(voxels, affine)


def _three_cuts(mask: Mask, draw: Callable[[int, int], Grey]) -> Grey:
    """Axial, coronal and sagittal through the middle of the mask's box; a dark spot if it is empty."""
    if not mask.any():
        return np.zeros((GAP, GAP), np.uint8)
    middle = [(axis.start + axis.stop) // 2 for axis in box_of(mask)]
    return beside([draw(axis, middle[axis]) for axis in (2, 1, 0)])


def _cells(shape: tuple[int, ...], axis: int, at: int) -> npt.NDArray[np.float32]:
    """(a, b, 3) float32: the voxel coordinates of one plane."""
    lines = [np.arange(n) if k != axis else np.array([at]) for k, n in enumerate(shape)]
    whole = np.stack(np.meshgrid(*lines, indexing="ij"), -1).astype(np.float32)
    return np.ascontiguousarray(whole.squeeze(axis))


def _drawn(plane: npt.NDArray[np.float32], mask: Mask, axis: int) -> Grey:
    """A plane through RAS voxels as it hangs: up is up, right is left; with the mask's outline."""
    top = float(np.percentile(plane[plane > 0], 99)) if (plane > 0).any() else 1.0
    grey = np.clip(plane / top * 220, 0, OUTLINE - 1).astype(np.uint8)
    picture, edge = (np.repeat(np.repeat(a, SCALE, 0), SCALE, 1) for a in (grey, mask))
    picture[edge & ~ndimage.binary_erosion(edge)] = OUTLINE
    turned = picture.T[::-1]
    return turned[:, ::-1] if axis else turned


def beside(tiles: list[Grey]) -> Grey:
    """The tiles in one line."""
    tall = max(tile.shape[0] for tile in tiles)
    return np.hstack([_grown(tile, tall, tile.shape[1] + GAP) for tile in tiles])


def below(tiles: list[Grey]) -> Grey:
    """The tiles under one another."""
    wide = max(tile.shape[1] for tile in tiles)
    return np.vstack([_grown(tile, tile.shape[0] + GAP, wide) for tile in tiles])


def _grown(tile: Grey, rows: int, columns: int) -> Grey:
    out = np.zeros((rows, columns), np.uint8)
    out[: tile.shape[0], : tile.shape[1]] = tile
    return out
