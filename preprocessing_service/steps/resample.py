"""Step 6: the wanted slices straight from the input's voxels, through one composed affine, field removed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imaging.grid import GRID_TO_MNI, TRAINING, Grid
from preprocessing_service.compiled import compiled
from preprocessing_service.polynomial import basis
from preprocessing_service.sampling import (
    Lattice,
    Strided,
    Triple,
    strided,
    trilinear,
    trilinear_strided,
)
from preprocessing_service.steps.bias import Tissues
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.strip import Brain
from preprocessing_service.volume import Matrix, Volume

Floats = npt.NDArray[np.float32]
HALF = np.float32(0.5)
TINY = 1e-9
KNOT = 8
"""Grid voxels between the knots at which the smooth field is computed."""


def resample(
    volume: Volume, brain: Brain, alignment: Alignment, tissues: Tissues, *, grid: Grid = TRAINING
) -> Floats:
    """(slices, rows, columns) float32 field-corrected intensities of the brain on the grid, else zero."""
    to_voxel = np.linalg.inv(volume.affine) @ alignment.matrix @ grid.to_mni
    inside = around_brain(brain, brain.from_voxel(volume) @ to_voxel)
    knots = field_on_grid(tissues, grid)
    out = np.zeros(grid.shape, np.float32)
    source = strided(volume.voxels)
    scale = (volume.slope, volume.intercept)
    _read_slab(source, to_voxel[:3], (inside.values, inside.matrix), (knots, scale), out)
    return out


def around_brain(brain: Brain, to_cell: Matrix) -> Lattice:
    """The lattice cut to the brain and one cell around it; outside it no grid cell has to be looked up."""
    corner = np.maximum([axis.start - 1 for axis in brain.box], 0)
    cut = brain.inside[tuple(slice(at, axis.stop + 1) for at, axis in zip(corner, brain.box, strict=True))]
    matrix = to_cell[:3].copy()
    matrix[:, 3] -= corner
    return Lattice(np.ascontiguousarray(cut), matrix)


def grid_to_world(alignment: Alignment) -> Matrix:
    """(4, 4): (column, row, slice, 1) -> mm in the input's world."""
    return np.asarray(alignment.matrix @ GRID_TO_MNI)


def field_on_grid(tissues: Tissues, grid: Grid = TRAINING) -> Floats:
    """The field's reciprocal at every eighth grid voxel, (columns, rows, slices) knots."""
    knots = [np.arange(-(-length // KNOT) + 1) * float(KNOT) for length in reversed(grid.shape)]
    mesh = np.stack(np.meshgrid(*knots, indexing="ij"), -1).reshape(-1, 3)
    points = mesh @ grid.to_mni[:3, :3].T + grid.to_mni[:3, 3]
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
    # Line by line, one thing at a time: all three at once would not fit the registers.
    lit, gain = np.empty(out.shape[2], np.bool_), np.empty(out.shape[2], np.float32)
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            if _inside_line(inside, (j, k), lit):
                _gain_line(field[0], (j, k), gain)
                _read_line(source, to_voxel, (j, k), lit, out[k, j])
                for i in range(out.shape[2]):
                    if lit[i]:
                        out[k, j, i] = (out[k, j, i] * field[1][0] + field[1][1]) * gain[i]


@compiled
def _span(m: npt.NDArray[np.float64], line: tuple[int, int], shape: Triple, length: int) -> tuple[int, int]:
    """First and one past the last cell of grid line (j, k) that m maps into a lattice of this shape."""
    low, high = 0.0, length - 1.0
    for axis in range(3):
        start = m[axis, 1] * line[0] + m[axis, 2] * line[1] + m[axis, 3]
        step, most = m[axis, 0], shape[axis] - 1.0
        if abs(step) < TINY:
            if start < 0 or start > most:
                return 0, 0
            continue
        ends = (-start / step, (most - start) / step)
        low, high = max(low, min(ends)), min(high, max(ends))
    first, stop = int(np.ceil(low)), int(np.floor(high)) + 1
    return (first, stop) if stop > first else (0, 0)


@compiled
def _inside_line(
    inside: tuple[Floats, npt.NDArray[np.float64]], line: tuple[int, int], lit: npt.NDArray[np.bool_]
) -> int:
    """Which cells of grid line (j, k) lie in the brain; how many."""
    (mask, m), (j, k), count = inside, line, 0
    first, stop = _span(m, line, mask.shape, lit.size)
    lit[:] = False
    a = m[0, 1] * j + m[0, 2] * k + m[0, 3]
    b = m[1, 1] * j + m[1, 2] * k + m[1, 3]
    c = m[2, 1] * j + m[2, 2] * k + m[2, 3]
    p, q, r = m[0, 0], m[1, 0], m[2, 0]
    for i in range(first, stop):
        if trilinear(mask, a + p * i, b + q * i, c + r * i) >= HALF:
            lit[i] = True
            count += 1
    return count


@compiled
def _read_line(
    source: Strided,
    m: npt.NDArray[np.float64],
    line: tuple[int, int],
    lit: npt.NDArray[np.bool_],
    out: Floats,
) -> None:
    """The source at the lit cells of grid line (j, k); a cell that it does not hold goes out."""
    j, k = line
    first, stop = _span(m, line, source[3], lit.size)
    lit[:first], lit[stop:] = False, False
    a = m[0, 1] * j + m[0, 2] * k + m[0, 3]
    b = m[1, 1] * j + m[1, 2] * k + m[1, 3]
    c = m[2, 1] * j + m[2, 2] * k + m[2, 3]
    p, q, r = m[0, 0], m[1, 0], m[2, 0]
    for i in range(first, stop):
        if lit[i]:
            out[i] = trilinear_strided(source, a + p * i, b + q * i, c + r * i)


@compiled
def _gain_line(knots: Floats, line: tuple[int, int], gain: Floats) -> None:
    """The field along grid line (j, k), linear between its knots."""
    (j, k), step = line, np.float32(1 / KNOT)
    b, c = j // KNOT, k // KNOT
    v, w = np.float32(j % KNOT) * step, np.float32(k % KNOT) * step
    begin = np.float32(0)
    for a in range(knots.shape[0]):
        near, far = knots[a, b], knots[a, b + 1]
        end = (near[c] * (1 - w) + near[c + 1] * w) * (1 - v) + (far[c] * (1 - w) + far[c + 1] * w) * v
        for i in range(max(a - 1, 0) * KNOT, min(a * KNOT, gain.size)):
            gain[i] = begin + (end - begin) * np.float32(i % KNOT) * step
        begin = end
