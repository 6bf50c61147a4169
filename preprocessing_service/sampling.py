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

Strided = tuple[npt.NDArray[Any], int, tuple[int, int, int], tuple[int, int, int]]
"""Flat voxels, index of voxel (0, 0, 0), steps along the three axes, shape: one compiled loop for all orders."""


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
def pick(source: Strided, size: int) -> Floats:
    """(size, size, size) float32: the voxel nearest to each cell's centre, whole field of view."""
    flat, start, steps, shape = source
    out = np.empty((size, size, size), np.float32)
    for i in range(size):
        at_i = start + int((i + 0.5) * shape[0] / size) * steps[0]
        for j in range(size):
            at_j = at_i + int((j + 0.5) * shape[1] / size) * steps[1]
            for k in range(size):
                out[i, j, k] = flat[at_j + int((k + 0.5) * shape[2] / size) * steps[2]]
    return out


@compiled
def _block(source: Strided, corner: tuple[int, int, int], factors: tuple[int, int, int]) -> float:
    flat, start, steps, _ = source
    total = 0.0
    for x in range(corner[0], corner[0] + factors[0]):
        for y in range(corner[1], corner[1] + factors[1]):
            at = start + x * steps[0] + y * steps[1] + corner[2] * steps[2]
            for _z in range(factors[2]):
                total += flat[at]
                at += steps[2]
    return total


@compiled
def average(source: Strided, inside: Floats, factors: tuple[int, int, int], scale: tuple[float, float]) -> Floats:
    """Block means times scale[0] plus scale[1] where `inside` (probability over the same field of view) > 0.5.

    Returns (a // fa, b // fb, c // fc) float32, zero elsewhere.
    """
    shape = source[3]
    n0, n1, n2 = shape[0] // factors[0], shape[1] // factors[1], shape[2] // factors[2]
    size = inside.shape[0]
    out = np.zeros((n0, n1, n2), np.float32)
    weight = scale[0] / (factors[0] * factors[1] * factors[2])
    for i in range(n0):
        p = int((i + 0.5) * factors[0] * size / shape[0])
        for j in range(n1):
            q = int((j + 0.5) * factors[1] * size / shape[1])
            for k in range(n2):
                r = int((k + 0.5) * factors[2] * size / shape[2])
                if inside[p, q, r] > 0.5:
                    corner = (i * factors[0], j * factors[1], k * factors[2])
                    out[i, j, k] = _block(source, corner, factors) * weight + scale[1]
    return out


@compiled
def trilinear(values: Floats, x: float, y: float, z: float) -> float:
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
def trilinear_strided(source: Strided, x: float, y: float, z: float) -> float:
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
def within(shape: tuple[int, int, int], x: float, y: float, z: float) -> bool:
    """Whether (x, y, z) has eight neighbours in a lattice of this shape."""
    return (
        x >= 0 and y >= 0 and z >= 0 and x <= shape[0] - 1 and y <= shape[1] - 1 and z <= shape[2] - 1
    )


@compiled
def sample(values: Floats, matrix: npt.NDArray[np.float64], points: Floats) -> Floats:
    """(n,) float32: `values` (a, b, c) at matrix @ point for points (n, 3); OUTSIDE where there is no voxel."""
    out = np.empty(points.shape[0], np.float32)
    for n in range(points.shape[0]):
        a, b, c = points[n, 0], points[n, 1], points[n, 2]
        x = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + matrix[0, 3]
        y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + matrix[1, 3]
        z = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + matrix[2, 3]
        out[n] = trilinear(values, x, y, z) if within(values.shape, x, y, z) else OUTSIDE
    return out
