"""What a scanner and preprocessing leave in a picture: resolution, residual field, noise, wrong levels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from model_store.anatomy.noise import smooth_noise

Floats = npt.NDArray[np.float32]
KNOTS = (0.0, 48.0, 122.0, 202.0, 362.0)
"""The grey levels that preprocessing aims at; each is missed by a few."""

MISS, FIELD, NOISE = 4.5, 0.06, 11.0
"""Spread of a level's error; largest spread of the log field; largest spread of the noise, grey values."""


def imperfect(grey: Floats, inside: npt.NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """The picture as preprocessing would hand it over: float32, 1 to 255 inside the mask, 0 outside."""
    grey = ndimage.gaussian_filter(grey, _blur(rng), truncate=3)
    moved = np.array(KNOTS) + np.array([0, *rng.normal(0, MISS, 3), 0])
    grey = np.interp(grey, KNOTS, np.maximum.accumulate(moved)).astype(np.float32)
    grey *= np.exp(smooth_noise(rng, grey.shape, 35.0) * np.float32(rng.uniform(0, FIELD)))
    noise = rng.standard_normal(grey.shape, dtype=np.float32) * np.float32(rng.uniform(1, NOISE))
    if rng.random() < 0.5:  # preprocessing reads linearly, which makes noise smooth
        noise = ndimage.gaussian_filter(noise, 0.6, truncate=2.5) * np.float32(2)
    return np.asarray(np.clip(grey + noise, 1, 255) * inside, dtype=np.float32)


def _blur(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(3,) mm: about 1 mm voxels, one time in eight up to 2 mm, one time in seven thick slices."""
    widths = rng.uniform(0.15, 0.7, 3)
    kind = rng.random()
    if kind < 0.12:
        widths = np.full(3, rng.uniform(0.6, 1.1))
    elif kind < 0.27:
        widths[rng.integers(3)] = rng.uniform(0.6, 1.6)
    return np.asarray(widths)
