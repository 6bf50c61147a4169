"""The generator's voxel loops, compiled: reading a deformed label map, and smooth noise."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]


@numba.njit(cache=True, fastmath=True, nogil=True)
def _at(knots: Floats, channel: int, u: float, v: float, w: float) -> float:  # pragma: no cover
    # Linear between the knots, which go on unchanged beyond their edge.
    u = min(max(u, 0.0), knots.shape[1] - 1.001)
    v = min(max(v, 0.0), knots.shape[2] - 1.001)
    w = min(max(w, 0.0), knots.shape[3] - 1.001)
    i, j, k = int(u), int(v), int(w)
    u, v, w = u - i, v - j, w - k
    total = 0.0
    for corner in range(8):
        a, b, c = corner >> 2, (corner >> 1) & 1, corner & 1
        share = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
        total += share * knots[channel, i + a, j + b, k + c]
    return total


@numba.njit(cache=True, fastmath=True, nogil=True)
def read_deformed(  # noqa: PLR0913  # pragma: no cover
    labels: Bytes,
    moves: Floats,
    matrices: tuple[Matrix, Matrix],
    knots: tuple[Floats, float],
    tables: tuple[Floats, Bytes],
    out: tuple[Bytes, Floats, Floats],
) -> None:
    """Read a label map at deformed places; partial volume comes from reading it linearly.

    labels, moves: (x, y, z) and (3, x, y, z) displacement in own voxels (where to read, less where one is).
    matrices: box voxel -> undeformed box voxel; that -> own voxel. knots: (3, a, b, c) displacement in mm and
    their spacing. tables: label -> grey level, label -> class. out: nearest label, picture, class shares.
    """
    (turn, own), (bend, spacing), (levels, classes), (nearest, picture, shares) = matrices, knots, tables, out
    last = (labels.shape[0] - 1.001, labels.shape[1] - 1.001, labels.shape[2] - 1.001)
    at = np.empty(3)
    for i in range(nearest.shape[0]):
        for j in range(nearest.shape[1]):
            for k in range(nearest.shape[2]):
                a = turn[0, 0] * i + turn[0, 1] * j + turn[0, 2] * k + turn[0, 3]
                b = turn[1, 0] * i + turn[1, 1] * j + turn[1, 2] * k + turn[1, 3]
                c = turn[2, 0] * i + turn[2, 1] * j + turn[2, 2] * k + turn[2, 3]
                u, v, w = a / spacing + 1, b / spacing + 1, c / spacing + 1
                x, y, z = a + _at(bend, 0, u, v, w), b + _at(bend, 1, u, v, w), c + _at(bend, 2, u, v, w)
                for n in range(3):
                    at[n] = own[n, 0] * x + own[n, 1] * y + own[n, 2] * z + own[n, 3]
                x, y, z = at
                for n in range(3):
                    at[n] += _at(moves, n, x, y, z)
                x = min(max(at[0], 0.0), last[0])
                y = min(max(at[1], 0.0), last[1])
                z = min(max(at[2], 0.0), last[2])
                p, q, r = int(x), int(y), int(z)
                x, y, z = x - p, y - q, z - r
                best, level = 0.0, 0.0
                for corner in range(8):
                    d, e, f = corner >> 2, (corner >> 1) & 1, corner & 1
                    share = (x if d else 1 - x) * (y if e else 1 - y) * (z if f else 1 - z)
                    label = labels[p + d, q + e, r + f]
                    level += share * levels[label]
                    shares[classes[label], i, j, k] += share
                    if share > best:
                        best = share
                        nearest[i, j, k] = label
                picture[i, j, k] = level


@numba.njit(cache=True, fastmath=True, nogil=True)
def sum_moves(outward: npt.NDArray[np.int8], growth: Floats) -> Floats:  # pragma: no cover
    """(3, x, y, z) mm: where to read, less where one is, so that structures grow outward by `growth` mm.

    outward: (structures, x, y, z, 3), a hundred times a direction. Reading nearer to its middle enlarges it.
    """
    out = np.zeros((3, *outward.shape[1:4]), np.float32)
    for n in range(outward.shape[0]):
        gain = growth[n] * np.float32(-0.01)
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for k in range(out.shape[3]):
                    for axis in range(3):
                        out[axis, i, j, k] += gain * outward[n, i, j, k, axis]
    return out


@numba.njit(cache=True, fastmath=True, nogil=True)
def spread_noise(small: Floats, knot: float, start: Floats, out: Floats) -> None:  # pragma: no cover
    """Fill `out` with `small` read linearly, its cells `knot` voxels apart; start: (3,) shift in cells."""
    for i in range(out.shape[0]):
        u = i / knot + start[0]
        a = int(u)
        u -= a
        for j in range(out.shape[1]):
            v = j / knot + start[1]
            b = int(v)
            v -= b
            for k in range(out.shape[2]):
                w = k / knot + start[2]
                c = int(w)
                w -= c
                near = (small[a, b, c] * (1 - w) + small[a, b, c + 1] * w) * (1 - v) + (
                    small[a, b + 1, c] * (1 - w) + small[a, b + 1, c + 1] * w
                ) * v
                far = (small[a + 1, b, c] * (1 - w) + small[a + 1, b, c + 1] * w) * (1 - v) + (
                    small[a + 1, b + 1, c] * (1 - w) + small[a + 1, b + 1, c + 1] * w
                ) * v
                out[i, j, k] = near * (1 - u) + far * u
