"""Cuts through the whole brain along three planes, as layers that a page lays over one another.

All hang as radiologists hang them: the subject's right on the left, up is up, and in sagittal cuts the nose
is on the left.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from contracts.explanation import Explanation
from contracts.stack import HEIGHT, SLICES, WIDTH
from gateway.images.heatmap import cells
from gateway.images.pictures import SHOW_FROM, activation_scale, colours
from imaging.grid import BRAIN, GRID_TO_MNI

Plane = Literal["axial", "coronal", "sagittal"]
Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

AXES: dict[Plane, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Plane -> the voxel axis it is cut across; axes run right, anterior, superior."""

COUNTS: dict[Plane, int] = {plane: BRAIN.shape[2 - axis] for plane, axis in AXES.items()}
AMBER, CYAN, VIOLET = (255, 176, 0), (64, 196, 255), (214, 140, 255)
SCALE = 3
"""Screen pixels a voxel; lines are drawn at this scale, so that they stay thin."""


@dataclass(frozen=True)
class Brain:
    """voxels: (right, anterior, superior) uint8 on imaging.grid.BRAIN. affine: voxel -> mm of the input."""

    voxels: Grey
    affine: npt.NDArray[np.float64]

    @classmethod
    def from_bytes(cls, data: bytes) -> Brain:
        """Read the blob that preprocessing left; ValueError on anything else."""
        try:
            image: Any = nib.Nifti1Image.from_bytes(gzip.decompress(data))
        except (OSError, EOFError, nib.filebasedimages.ImageFileError) as error:
            raise ValueError(f"not a stored brain: {error}") from error
        return cls(np.asarray(image.dataobj, dtype=np.uint8), np.asarray(image.affine))


def anatomy(brain: Brain, plane: Plane, n: int) -> Grey:
    """(rows, columns) uint8 of cut n, 0-based."""
    return hung(np.take(brain.voxels, n, AXES[plane]))


def evidence(explanation: Explanation, which: int, plane: Plane, n: int) -> Grey:
    """(rows, columns, 4) uint8: a class's map in colours, clear where it has little or nothing."""
    maps = explanation.maps[:, which].astype(np.float32)
    at = _grid_points(plane, n)
    cell = cells(maps.shape[1:]) @ np.vstack([at.reshape(3, -1), np.ones(at[0].size)])
    values = ndimage.map_coordinates(maps, cell[:3], order=3, mode="nearest").reshape(at.shape[1:])
    lit = np.where(_in_slab(at), values, 0) / activation_scale(explanation)
    share = np.clip(lit, 0, 1).astype(np.float32)
    alpha = np.clip((share - SHOW_FROM) / (1 - SHOW_FROM), 0, 1) ** 0.7
    painted = np.concatenate([colours(share), 255 * alpha[..., None]], axis=-1)
    return hung(np.rint(painted).astype(np.uint8))


def outline(plane: Plane, n: int) -> Grey:
    """(SCALE rows, SCALE columns, 4) uint8: the template's brain in amber, its ventricles in cyan."""
    drawn: Grey | None = None
    for name, colour in (("brain", AMBER), ("ventricles", CYAN)):
        edge = _edge(ndimage.zoom(_template_cut(name, plane, n), SCALE, order=1) > 0.5)
        drawn = _lines(edge, colour, drawn)
    assert drawn is not None  # noqa: S101
    return hung(drawn)


def slab(plane: Plane, n: int) -> Grey:
    """(SCALE rows, SCALE columns, 4) uint8: the rim of what the network saw, violet."""
    inside = _in_slab(_grid_points(plane, n))
    return hung(_lines(_edge(np.kron(inside, np.ones((SCALE, SCALE))) > 0), VIOLET, None))


def hung(cut: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A cut (first axis, second axis[, channels]) turned into (rows, columns[, channels]).

    Columns run down the first axis (from right, or from the front), rows down the second (from the front, or
    from above).
    """
    return np.ascontiguousarray(np.swapaxes(cut, 0, 1)[::-1, ::-1])


def _edge(mask: Mask) -> Mask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask, iterations=1), dtype=bool)


def _lines(edge: Mask, colour: tuple[int, int, int], onto: Grey | None) -> Grey:
    out = np.zeros((*edge.shape, 4), np.uint8) if onto is None else onto
    out[edge] = (*colour, 255)
    return out


def _grid_points(plane: Plane, n: int) -> Points:
    """(3, first axis, second axis): column, row, slice of the training grid at every voxel of a cut."""
    shape = [1 if axis == AXES[plane] else BRAIN.shape[2 - axis] for axis in range(3)]
    index = np.indices(shape, dtype=np.float64).reshape(3, -1)
    index[AXES[plane]] = n
    to_grid = np.linalg.inv(GRID_TO_MNI) @ BRAIN.to_mni
    points = to_grid[:3] @ np.vstack([index, np.ones(index.shape[1])])
    return np.asarray(points.reshape(3, *(length for length in shape if length > 1)))


def _in_slab(at: Points) -> Mask:
    size = np.array([WIDTH, HEIGHT, SLICES])[:, None, None]
    return np.asarray(((at >= -0.5) & (at <= size - 0.5)).all(axis=0), dtype=bool)


def _template_cut(name: str, plane: Plane, n: int) -> npt.NDArray[np.float32]:
    """(first axis, second axis) share of the template in each voxel of a cut, 0 to 1."""
    whole, axis = _template()[name], AXES[plane]
    place = min(n / 2, whole.shape[axis] - 1.0)
    low, part = int(place), np.float32(place % 1)
    high = min(low + 1, whole.shape[axis] - 1)
    cut = np.take(whole, low, axis) * (1 - part) + np.take(whole, high, axis) * part
    shape = [BRAIN.shape[2 - other] for other in range(3) if other != axis]
    at = np.indices(shape, dtype=np.float32) / 2
    return np.asarray(ndimage.map_coordinates(cut, at, order=1, mode="nearest"), dtype=np.float32)


@cache
def _template() -> dict[str, npt.NDArray[np.float32]]:
    """(right, anterior, superior) on every second voxel (preprocessing_service/derivations/outline.py)."""
    with np.load(Path(__file__).parent / "template.npz", allow_pickle=False) as parts:
        return {name: parts[name].T.astype(np.float32) / 255 for name in ("brain", "ventricles")}


def outline_volume() -> Grey:
    """(right, anterior, superior) uint8: 1 on the template's rim, 2 on that of its ventricles."""
    out = np.zeros(tuple(reversed(BRAIN.shape)), np.uint8)
    for label, name in enumerate(("brain", "ventricles"), start=1):
        at = np.indices(out.shape, dtype=np.float32) / 2
        mask = ndimage.map_coordinates(_template()[name], at, order=1, mode="nearest") > 0.5
        out[mask & ~ndimage.binary_erosion(mask)] = label
    return out
