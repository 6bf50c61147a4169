"""Connected pieces of a three-dimensional mask: the largest one, its holes closed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preprocessing_service.compiled import compiled

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]
Steps = tuple[int, int]
"""Cells from one plane, and from one row, to the next."""


def largest_piece(mask: Mask) -> Mask:
    """The largest 6-connected piece of a mask that is not empty, with every enclosed hole filled."""
    padded = np.pad(mask, 1)
    labels = np.zeros(padded.shape, np.int32)
    piece = labels == _label(padded.reshape(-1), labels.reshape(-1), _steps(padded))
    box = _box(piece)
    # What the background reaches from one corner is outside; only the piece's own box has to be searched.
    # Two cells of padding: one that hangs the rim together, one that keeps the flood inside the array.
    away = np.pad(~np.pad(piece[box], 1), 1)
    reached = np.zeros(away.shape, np.int32)
    corner = int(np.ravel_multi_index((1, 1, 1), away.shape))
    _flood(away.reshape(-1), reached.reshape(-1), _steps(away), (corner, 1), np.empty(away.size, np.int32))
    piece[box] = reached[2:-2, 2:-2, 2:-2] == 0
    return np.asarray(piece[1:-1, 1:-1, 1:-1])


def _steps(cells: npt.NDArray[np.generic]) -> Steps:
    return cells.shape[1] * cells.shape[2], cells.shape[2]


def _box(piece: Mask) -> tuple[slice, ...]:
    found = [np.flatnonzero(piece.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in found)


@compiled
def _flood(mask: Mask, labels: Labels, steps: Steps, seed: tuple[int, int], stack: Labels) -> int:
    """Give every mask cell connected to cell seed[0] the label seed[1]; how many. The rim must be empty."""
    label = seed[1]
    labels[seed[0]] = label
    stack[0] = seed[0]
    top, count = 1, 0
    while top > 0:
        top -= 1
        cell = stack[top]
        count += 1
        for step in (1, -1, steps[1], -steps[1], steps[0], -steps[0]):
            neighbour = cell + step
            if mask[neighbour] and labels[neighbour] == 0:
                labels[neighbour] = label
                stack[top] = neighbour
                top += 1
    return count


@compiled
def _label(mask: Mask, labels: Labels, steps: Steps) -> int:
    """Label every piece from 1 on; the label of the largest."""
    stack = np.empty(mask.size, np.int32)
    label, largest, most = 0, 0, 0
    for cell in range(mask.size):
        if mask[cell] and labels[cell] == 0:
            label += 1
            count = _flood(mask, labels, steps, (cell, label), stack)
            if count > most:
                largest, most = label, count
    return largest
