"""The voxel loops: nearest, averaged and trilinear reads of a volume in whatever order it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing_service.compiled import compiled

Floats = npt.NDArray[np.float32]
OUTSIDE = np.float32(-1e30)
"""What `sample` gives for points outside the volume."""

TILE = 16
"""Edge of the blocks in which `pick` walks, in cells: 4,096 of them fit the first cache twice."""

Triple = tuple[int, int, int]
Strided = tuple[npt.NDArray[Any], int, Triple, Triple]
"""Flat voxels, index of voxel (0, 0, 0), steps along the three axes, shape: one loop for all orders."""


@dataclass(frozen=True)
class Lattice:
    """Values on a regular lattice and the map from the loop's own indices to it.

    values: (a, b, c) float32. matrix: (3, 4) float64, index -> lattice coordinate.
    """

    values: Floats
    matrix: npt.NDArray[np.float64]


def strided(view: npt.NDArray[Any]) -> Strided:
    """Lay a 3-D view flat, without a copy when it is a turned or reversed contiguous array."""
    backwards = [step < 0 for step in view.strides]
    forward = view[tuple(slice(None, None, -1 if back else 1) for back in backwards)]
    order = np.argsort([-step for step in forward.strides], kind="stable")
    packed = forward.transpose(order)
    flat = np.ascontiguousarray(packed).reshape(-1)
    steps = [0, 0, 0]
    step = 1
    for axis in reversed(order.tolist()):
        steps[axis] = step
        step *= view.shape[axis]
    start = sum((view.shape[axis] - 1) * steps[axis] for axis in range(3) if backwards[axis])
    signed = [-s if back else s for s, back in zip(steps, backwards, strict=True)]
    a, b, c = view.shape
    return flat, start, (signed[0], signed[1], signed[2]), (a, b, c)


@compiled
def pick(source: Strided, size: int, scale: tuple[float, float]) -> Floats:
    """(size, size, size) float32, size a multiple of TILE: the voxel nearest to each cell's centre, whole
    field of view, times scale[0] plus scale[1].

    Tile by tile: whichever axis lies fastest in the file, a tile's voxels and its cells stay in the cache.
    """
    flat, start, steps, shape = source
    slope, intercept = np.float32(scale[0]), np.float32(scale[1])
    at = np.empty((3, size), np.int64)
    for axis in range(3):
        for cell in range(size):
            at[axis, cell] = int((cell + 0.5) * shape[axis] / size) * steps[axis]
    out = np.empty((size, size, size), np.float32)
    tiles = size // TILE
    for tile in range(tiles * tiles * tiles):
        a, b, c = tile // (tiles * tiles) * TILE, tile // tiles % tiles * TILE, tile % tiles * TILE
        for i in range(a, a + TILE):
            for j in range(b, b + TILE):
                row = start + at[0, i] + at[1, j]
                for k in range(c, c + TILE):
                    out[i, j, k] = np.float32(flat[row + at[2, k]]) * slope + intercept
    return out


def average(view: npt.NDArray[Any], factors: Triple, first: Triple, count: Triple) -> Floats:
    """Means of blocks of `factors` voxels, for the `count` blocks along each axis from block `first` on."""
    # Walk the voxels as they lie in memory: the other order costs four times as much.
    order = np.argsort([-abs(step) for step in view.strides], kind="stable").tolist()
    turned = [-1 if view.strides[axis] < 0 else 1 for axis in order]
    packed = np.ascontiguousarray(view.transpose(order)[tuple(slice(None, None, t) for t in turned)])
    # Of a reversed axis the last block comes first, counted from the other end.
    stops = [(first[axis] + count[axis]) * factors[axis] for axis in range(3)]
    begin = [
        first[axis] * factors[axis] if step > 0 else view.shape[axis] - stops[axis]
        for axis, step in zip(order, turned, strict=True)
    ]
    means = _average(packed, _along(order, factors), (begin[0], begin[1], begin[2]), _along(order, count))
    means = means[tuple(slice(None, None, t) for t in turned)]
    return np.ascontiguousarray(means.transpose(np.argsort(order)))


def _along(order: list[int], numbers: Triple) -> Triple:
    return numbers[order[0]], numbers[order[1]], numbers[order[2]]


@compiled
def _average(packed: npt.NDArray[Any], factors: Triple, begin: Triple, count: Triple) -> Floats:
    out = np.empty(count, np.float32)
    length = count[2] * factors[2]
    weight = np.float32(1.0 / (factors[0] * factors[1] * factors[2]))
    line = np.empty(length, np.float32)
    for i in range(count[0]):
        for j in range(count[1]):
            line[:] = 0
            for row in range(factors[0] * factors[1]):
                x = begin[0] + i * factors[0] + row // factors[1]
                y = begin[1] + j * factors[1] + row % factors[1]
                _add(packed[x, y, begin[2] : begin[2] + length], line)
            for k in range(count[2]):
                total = np.float32(0)
                for z in range(k * factors[2], (k + 1) * factors[2]):
                    total += line[z]
                out[i, j, k] = total * weight
    return out


@compiled
def _add(row: npt.NDArray[Any], line: Floats) -> None:
    for z in range(line.size):
        line[z] += np.float32(row[z])


@compiled
def trilinear(values: Floats, x: float, y: float, z: float) -> Any:
    """The value between the eight neighbours of (x, y, z), which must lie inside."""
    i, j, k = int(x), int(y), int(z)
    i, j, k = min(i, values.shape[0] - 2), min(j, values.shape[1] - 2), min(k, values.shape[2] - 2)
    u, v, w = np.float32(x - i), np.float32(y - j), np.float32(z - k)
    near = (values[i, j, k] * (1 - w) + values[i, j, k + 1] * w) * (1 - v)
    near += (values[i, j + 1, k] * (1 - w) + values[i, j + 1, k + 1] * w) * v
    far = (values[i + 1, j, k] * (1 - w) + values[i + 1, j, k + 1] * w) * (1 - v)
    far += (values[i + 1, j + 1, k] * (1 - w) + values[i + 1, j + 1, k + 1] * w) * v
    return near * (1 - u) + far * u


@compiled
def trilinear_strided(source: Strided, x: float, y: float, z: float) -> Any:
    """The same for voxels in any stored order."""
    flat, start, steps, shape = source
    i, j, k = min(int(x), shape[0] - 2), min(int(y), shape[1] - 2), min(int(z), shape[2] - 2)
    u, v, w = np.float32(x - i), np.float32(y - j), np.float32(z - k)
    a = start + i * steps[0] + j * steps[1] + k * steps[2]
    b, c, d = a + steps[1], a + steps[0], a + steps[0] + steps[1]
    s = steps[2]
    near = (flat[a] * (1 - w) + flat[a + s] * w) * (1 - v) + (flat[b] * (1 - w) + flat[b + s] * w) * v
    far = (flat[c] * (1 - w) + flat[c + s] * w) * (1 - v) + (flat[d] * (1 - w) + flat[d + s] * w) * v
    return near * (1 - u) + far * u


@compiled
def within(shape: Triple, x: float, y: float, z: float) -> bool:
    """Whether (x, y, z) has eight neighbours in a lattice of this shape."""
    return x >= 0 and y >= 0 and z >= 0 and x <= shape[0] - 1 and y <= shape[1] - 1 and z <= shape[2] - 1


@compiled
def redraw(source: Strided, matrix: npt.NDArray[np.float64], size: int, outside: float) -> Floats:
    """(size, size, size) float32: the source at matrix (3, 4) @ index, `outside` where it has no voxel."""
    out = np.empty((size, size, size), np.float32)
    for i in range(size):
        for j in range(size):
            a = matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 3]
            b = matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 3]
            c = matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 3]
            for k in range(size):
                x, y, z = a + matrix[0, 2] * k, b + matrix[1, 2] * k, c + matrix[2, 2] * k
                if within(source[3], x, y, z):
                    out[i, j, k] = trilinear_strided(source, x, y, z)
                else:
                    out[i, j, k] = outside
    return out


@compiled
def sample(values: Floats, matrix: npt.NDArray[np.float64], points: Floats) -> Floats:
    """(n,) float32: `values` (a, b, c) at matrix @ point for points (n, 3), OUTSIDE where no voxel is."""
    out = np.empty(points.shape[0], np.float32)
    for n in range(points.shape[0]):
        a, b, c = points[n, 0], points[n, 1], points[n, 2]
        x = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + matrix[0, 3]
        y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + matrix[1, 3]
        z = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + matrix[2, 3]
        out[n] = trilinear(values, x, y, z) if within(values.shape, x, y, z) else OUTSIDE
    return out
