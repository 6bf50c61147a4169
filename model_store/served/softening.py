"""Smooths a stack across its slices, so that thick and thin, turned and upright heads are equally soft."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .shapes import LEAST_WEIGHT, SLICES, SOFT, Floats


def _across(count: int) -> Floats:
    places = np.arange(count)
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * SOFT**2))
    weights[weights < LEAST_WEIGHT] = 0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


_ACROSS = _across(SLICES)


def softened(stacks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(v, 32, height, width) uint8 -> the same, each slice a Gaussian mean of its neighbours' brain.

    Background stays 0 and counts for nothing, so that the brain keeps its rim. Within slices the network
    smooths by as much (`Softened`), where it also halves them.
    """
    return np.stack([_mixed(one) for one in stacks])


def _mixed(stack: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    lines = np.ascontiguousarray(stack).reshape(SLICES, -1)
    lit = lines > 0
    share = _ACROSS @ lit.astype(np.float32)
    mixed = np.rint(_ACROSS @ lines.astype(np.float32) / np.maximum(share, 0.05))
    return np.where(lit, np.maximum(mixed, 1), 0).astype(np.uint8).reshape(stack.shape)
