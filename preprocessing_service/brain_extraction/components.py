"""Connected pieces of a three-dimensional mask: the largest one, its holes closed.

Lines along the last axis are cut into runs, and runs that touch are united (Rosenfeld and Pfaltz 1966, J ACM
13:471): a brain of 300,000 cells is ten thousand runs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preprocessing_service.compiled import compiled

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int32]


def largest_piece(mask: Mask) -> Mask:
    """The largest 6-connected piece of a mask that is not empty, with every enclosed hole filled."""
    box = box_of(mask)
    piece = np.zeros(mask.shape, np.bool_)
    # One cell of padding hangs the background around the piece together.
    inner = np.pad(mask[box], 1)
    found = _piece(inner, inside=True)
    piece[box] = ~_piece(~found, inside=False)[1:-1, 1:-1, 1:-1]
    return piece


def box_of(mask: Mask) -> tuple[slice, slice, slice]:
    """The smallest box around every cell of a mask that is not empty."""
    lines: Mask = np.asarray(mask.any(axis=2))
    found = [np.flatnonzero(lit) for lit in (lines.any(axis=1), lines.any(axis=0), mask.any(axis=(0, 1)))]
    a, b, c = (slice(int(axis[0]), int(axis[-1]) + 1) for axis in found)
    return a, b, c


def _piece(mask: Mask, *, inside: bool) -> Mask:
    """One piece of the mask: the largest, or (not `inside`) the one that holds the first cell."""
    runs, first = _runs(mask)
    parent = _joined(runs, first, mask.shape[1])
    return np.asarray(_painted(runs, parent, mask.shape, largest=inside))


@compiled
def _runs(mask: Mask) -> tuple[Numbers, Numbers]:
    """(n, 3): line, start and stop of every run, and (lines + 1,): the first run of each line."""
    lines, length = mask.shape[0] * mask.shape[1], mask.shape[2]
    runs = np.empty((lines * (length // 2 + 1), 3), np.int32)
    first = np.zeros(lines + 1, np.int32)
    count = 0
    for line in range(lines):
        cells = mask[line // mask.shape[1], line % mask.shape[1]]
        before = False
        for k in range(length):
            if cells[k] and not before:
                runs[count, 0], runs[count, 1] = line, k
            elif before and not cells[k]:
                runs[count, 2] = k
                count += 1
            before = cells[k]
        if before:
            runs[count, 2] = length
            count += 1
        first[line + 1] = count
    return runs[:count], first


@compiled
def _root(parent: Numbers, run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@compiled
def _unite(runs: Numbers, parent: Numbers, one: tuple[int, int], other: tuple[int, int]) -> None:
    """Unite the runs one[0]..one[1] of a line with those of a neighbouring line that they overlap."""
    a, b = one[0], other[0]
    while a < one[1] and b < other[1]:
        if runs[a, 1] < runs[b, 2] and runs[b, 1] < runs[a, 2]:
            parent[_root(parent, a)] = _root(parent, b)
        if runs[a, 2] < runs[b, 2]:
            a += 1
        else:
            b += 1


@compiled
def _joined(runs: Numbers, first: Numbers, width: int) -> Numbers:
    """(n,): a parent of each run; runs of one piece have one root."""
    parent = np.arange(len(runs)).astype(np.int32)
    for line in range(first.size - 1):
        here = (first[line], first[line + 1])
        if line % width:
            _unite(runs, parent, here, (first[line - 1], first[line]))
        if line >= width:
            _unite(runs, parent, here, (first[line - width], first[line - width + 1]))
    return parent


@compiled
def _painted(runs: Numbers, parent: Numbers, shape: tuple[int, int, int], largest: bool) -> Mask:
    size = np.zeros(len(runs), np.int64)
    for run in range(len(runs)):
        size[_root(parent, run)] += runs[run, 2] - runs[run, 1]
    chosen = np.argmax(size) if largest else _root(parent, 0)
    out = np.zeros(shape, np.bool_)
    for run in range(len(runs)):
        if _root(parent, run) == chosen:
            line = runs[run, 0]
            out[line // shape[1], line % shape[1], runs[run, 1] : runs[run, 2]] = True
    return out
