"""Step 6: the wanted slices straight from the input's voxels, through one composed affine, field removed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from contracts.grid import GRID_TO_MNI
from contracts.stack import HEIGHT, SLICES, WIDTH
from preprocessing_service.compiled import compiled
from preprocessing_service.polynomial import basis
from preprocessing_service.sampling import (
    Lattice,
    Strided,
    strided,
    trilinear,
    trilinear_strided,
    within,
)
from preprocessing_service.steps.bias import Tissues
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.strip import Brain
from preprocessing_service.volume import Matrix, Volume

Floats = npt.NDArray[np.float32]
KNOT = 8
"""Grid voxels between the knots at which the smooth field is computed."""


def resample(
    volume: Volume, brain: Brain, alignment: Alignment, tissues: Tissues, *, grid: Matrix = GRID_TO_MNI
) -> Floats:
    """(32, 208, 176) float32 field-corrected intensities of the brain on the training grid, else zero."""
    to_voxel = np.linalg.inv(volume.affine) @ alignment.matrix @ grid
    inside = Lattice(brain.inside, (brain.from_voxel(volume) @ to_voxel)[:3])
    field = Lattice(field_on_grid(tissues, grid), np.diag([1 / KNOT] * 3 + [1.0])[:3])
    out = np.zeros((SLICES, HEIGHT, WIDTH), np.float32)
    source = strided(volume.voxels)
    scale = (volume.slope, volume.intercept)
    _read_slab(
        source, to_voxel[:3], (inside.values, inside.matrix), (field.values, scale), out,
    )  # fmt: skip
    return out


def grid_to_world(alignment: Alignment) -> Matrix:
    """(4, 4): (column, row, slice, 1) -> mm in the input's world."""
    return np.asarray(alignment.matrix @ GRID_TO_MNI)


def field_on_grid(tissues: Tissues, grid: Matrix) -> Floats:
    """The field's reciprocal at every eighth grid voxel, (columns, rows, slices) knots."""
    knots = [np.arange(-(-length // KNOT) + 1) * float(KNOT) for length in (WIDTH, HEIGHT, SLICES)]
    mesh = np.stack(np.meshgrid(*knots, indexing="ij"), -1).reshape(-1, 3)
    points = mesh @ grid[:3, :3].T + grid[:3, 3]
    log_field = basis(points.astype(np.float32)) @ tissues.field
    shape = [len(axis) for axis in knots]
    return np.asarray(np.exp(-log_field).reshape(shape), dtype=np.float32)


@compiled
def _read_slab(
    source: Strided,
    to_voxel: npt.NDArray[np.float64],
    inside: tuple[Floats, npt.NDArray[np.float64]],
    field: tuple[Floats, tuple[float, float]],
    out: Floats,
) -> None:
    m, (mask, n), (gain, scale) = to_voxel, inside, field
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            for i in range(out.shape[2]):
                x = n[0, 0] * i + n[0, 1] * j + n[0, 2] * k + n[0, 3]
                y = n[1, 0] * i + n[1, 1] * j + n[1, 2] * k + n[1, 3]
                z = n[2, 0] * i + n[2, 1] * j + n[2, 2] * k + n[2, 3]
                if not within(mask.shape, x, y, z) or trilinear(mask, x, y, z) < 0.5:
                    continue
                x = m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3]
                y = m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3]
                z = m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3]
                if within(source[3], x, y, z):
                    value = trilinear_strided(source, x, y, z) * scale[0] + scale[1]
                    out[k, j, i] = value * trilinear(gain, i * 0.125, j * 0.125, k * 0.125)
