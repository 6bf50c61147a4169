"""Smooth random fields for textures, bias and lesions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_store.anatomy.loops import spread_noise

Floats = npt.NDArray[np.float32]
SPREAD = np.float32(1.6)
"""Linear reading lowers the spread of the values at the knots by about this factor."""


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], knot: float) -> Floats:
    """Noise of about unit spread, linear between knots that lie `knot` voxels apart."""
    small = rng.standard_normal([int(n / knot) + 3 for n in shape], dtype=np.float32)
    out = np.empty(shape, np.float32)
    spread_noise(small * SPREAD, knot, rng.random(3, dtype=np.float32), out)
    return out
