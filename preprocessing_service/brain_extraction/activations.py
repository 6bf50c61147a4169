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

LOWEST = -3e38
"""No float32 that a norm gives is less."""


def norm(values: Floats, channels: int, *, rectified: bool) -> None:
    """Instance norm in place; values: (cells * channels,), channels last, a power of two up to LANES.

    rectified: negative results become zero, in the same pass.
    """
    sums = Moments(channels)
    sums.add(values)
    sums.norm(values, rectified=rectified)


class Moments:
    """Sums over the cells of each channel, for a norm of values that are never all in memory at once."""

    def __init__(self, channels: int) -> None:
        self.total, self.squares, self.cells = np.zeros(channels), np.zeros(channels), 0

    def add(self, values: Floats) -> None:
        """Take in (cells * channels,) values, channels last."""
        _add_all(values, self.total, self.squares)
        self.cells += values.size // self.total.size

    def norm(self, values: Floats, *, rectified: bool) -> None:
        """Norm (cells * channels,) values in place by what was taken in; negative results become zero."""
        mean = self.total / self.cells
        scale = 1 / np.sqrt(np.maximum(self.squares / self.cells - mean * mean, 0) + EPSILON)
        gain, shift = (np.resize(line, LANES).astype(np.float32) for line in (scale, -mean * scale))
        _on_line(values, gain, shift, 0.0 if rectified else LOWEST)


@compiled
def _on_line(values: Floats, scale: Floats, shift: Floats, least: float) -> None:
    lowest = np.float32(least)
    for begin in range(0, values.size, LANES):
        row = values[begin : begin + LANES]
        for lane in range(row.size):
            row[lane] = max(row[lane] * scale[lane] + shift[lane], lowest)


@compiled
def _add_all(values: Floats, total: npt.NDArray[np.float64], squares: npt.NDArray[np.float64]) -> None:
    for begin in range(0, values.size, LANES * BLOCK):
        _add_moments(values[begin : begin + LANES * BLOCK], total, squares)


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
def eight_apart(values: Floats, out: Floats) -> None:
    """(a, b, c, 8) -> (2a, 2b, 2c): each cell's eight values become the 2 x 2 x 2 block it stands for."""
    a, b, c, _ = values.shape
    for x in range(2 * a):
        for y in range(2 * b):
            cells, at = values[x // 2, y // 2], 4 * (x % 2) + 2 * (y % 2)
            for z in range(c):
                out[x, y, 2 * z] = cells[z, at]
                out[x, y, 2 * z + 1] = cells[z, at + 1]
