"""The activation map as a NIfTI volume on the input's own voxel grid, to lie over it in any viewer."""

from __future__ import annotations

import gzip
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from contracts.explanation import Explanation
from contracts.stack import HEIGHT, SLICES, WIDTH, Stack

Matrix = npt.NDArray[np.float64]


def to_nifti(stack: Stack, explanation: Explanation, which: int) -> bytes:
    """Gzipped NIfTI-1, shape and affine of the input; voxels are map values (uint8 with a scale slope).

    Only the box around the slab is sampled; everything outside the slab is exactly 0.
    """
    values, corner = _sample(stack, explanation.maps[:, which].astype(np.float32))
    top = max(float(values.max(initial=0)), 1e-6)
    voxels = np.zeros(stack.input_shape, np.uint8)
    box = tuple(slice(c, c + n) for c, n in zip(corner, values.shape, strict=True))
    voxels[box] = np.rint(values * (255 / top))
    return gzip.compress(nifti(voxels, stack.input_affine, top / 255), compresslevel=1, mtime=0)


def nifti(voxels: npt.NDArray[np.uint8], affine: Matrix, slope: float) -> bytes:
    image: Any = nib.Nifti1Image(voxels, affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, 0)
    image.header["descrip"] = b"Hippocamp class activation map; research use only"
    return bytes(image.to_bytes())


def _sample(
    stack: Stack, maps: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], tuple[int, ...]]:  # fmt: skip
    """Values in the box around the slab, and the box's first voxel; trilinear between map cells."""
    to_grid = np.linalg.inv(stack.grid_to_world) @ stack.input_affine  # input voxel -> column, row, slice
    to_input: Matrix = np.asarray(np.linalg.inv(to_grid), dtype=np.float64)
    low, high = _box(stack, to_input)
    shape = tuple(int(n) for n in high - low)
    to_grid = to_grid @ _shift(low)
    to_cell = cells(maps.shape[1:]) @ to_grid
    values = ndimage.affine_transform(maps, to_cell[:3], output_shape=shape, order=1, mode="nearest")
    values[~_inside(to_grid, shape)] = 0
    return np.maximum(values, 0), tuple(int(n) for n in low)


def _box(stack: Stack, to_input: Matrix) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First voxel and end of the input box that holds the slab's eight corners."""
    edges = [(-0.5, n - 0.5) for n in (WIDTH, HEIGHT, SLICES)]
    corners = np.array([(*corner, 1.0) for corner in product(*edges)]) @ to_input.T
    limit = np.array(stack.input_shape)
    low = np.clip(np.floor(corners[:, :3].min(axis=0)).astype(np.int64), 0, limit)
    high = np.clip(np.ceil(corners[:, :3].max(axis=0)).astype(np.int64) + 1, low, limit)
    return low, high


def _shift(by: npt.NDArray[np.int64]) -> Matrix:
    move = np.eye(4)
    move[:3, 3] = by
    return move


def cells(shape: tuple[int, ...]) -> Matrix:
    """Grid (column, row, slice) -> map cell (slice, row, column).

    A map of h cells covers all 208 rows, so pixel centres and cell centres differ:

        rows   |0 1 2 3|4 5 6 7|     4 rows a cell: row r lies at cell (r + 0.5) / 4 - 0.5
        cells  |   0   |   1   |
    """
    by_row, by_column = shape[0] / HEIGHT, shape[1] / WIDTH
    return np.array([
        [0, 0, 1, 0],
        [0, by_row, 0, 0.5 * by_row - 0.5],
        [by_column, 0, 0, 0.5 * by_column - 0.5],
        [0, 0, 0, 1],
    ])  # fmt: skip


def _inside(to_grid: Matrix, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which voxels of the box lie within the slab."""
    i, j, k = np.ogrid[tuple(slice(n) for n in shape)]
    inside = np.ones(shape, bool)
    for row, size in zip(to_grid[:3].astype(np.float32), (WIDTH, HEIGHT, SLICES), strict=True):
        at = row[0] * i + row[1] * j + row[2] * k + row[3]
        inside &= (at >= -0.5) & (at <= size - 0.5)
    return inside
