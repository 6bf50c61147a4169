"""The network's memory-bound layers as compiled loops: norm with its rectifier, cells put apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preprocessing_service.compiled import compiled

Floats = npt.NDArray[np.float32]
EPSILON = 1e-5
LANES = 128
"""Values summed side by side: a multiple of every power of two of channels below, and wide enough to fill
vector registers whatever the number of channels."""

BLOCK = 64
"""Rows of lanes summed in single precision before they go to double."""


@compiled
def norm(values: Floats, channels: int, rectified: bool) -> None:
    """Instance norm in place; values: (cells * channels,), channels last, a power of two up to LANES.

    rectified: negative results become zero, in the same pass.
    """
    total, squares = np.zeros(channels), np.zeros(channels)
    for begin in range(0, values.size, LANES * BLOCK):
        _add_moments(values[begin : begin + LANES * BLOCK], total, squares)
    count = values.size / channels
    scale, shift = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for lane in range(LANES):
        mean = total[lane % channels] / count
        scale[lane] = 1 / np.sqrt(max(squares[lane % channels] / count - mean * mean, 0.0) + EPSILON)
        shift[lane] = -mean * scale[lane]
    lowest = np.float32(0.0) if rectified else np.float32(-3e38)
    for begin in range(0, values.size, LANES):
        row = values[begin : begin + LANES]
        for lane in range(row.size):
            row[lane] = max(row[lane] * scale[lane] + shift[lane], lowest)


@compiled
def _add_moments(values: Floats, total: npt.NDArray[np.float64], squares: npt.NDArray[np.float64]) -> None:
    sums, powers = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    for begin in range(0, values.size, LANES):
        row = values[begin : begin + LANES]
        for lane in range(row.size):
            sums[lane] += row[lane]
            powers[lane] += row[lane] * row[lane]
    for lane in range(LANES):
        total[lane % total.size] += sums[lane]
        squares[lane % total.size] += powers[lane]


@compiled
def eight_apart(values: Floats) -> Floats:
    """(a, b, c, 8) -> (2a, 2b, 2c): each cell's eight values become the 2 x 2 x 2 block it stands for."""
    a, b, c, _ = values.shape
    out = np.empty((2 * a, 2 * b, 2 * c), np.float32)
    for x in range(2 * a):
        for y in range(2 * b):
            cells, at = values[x // 2, y // 2], 4 * (x % 2) + 2 * (y % 2)
            for z in range(c):
                out[x, y, 2 * z] = cells[z, at]
                out[x, y, 2 * z + 1] = cells[z, at + 1]
    return out
