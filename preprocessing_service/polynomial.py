"""Smooth polynomials over the head, in template coordinates: the shape of a coil's intensity field."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ORDER = 3
MIDDLE = (0.0, -18.0, 10.0)
"""mm in MNI space, about the brain's middle."""

SPAN = 80.0
"""mm that become one unit; powers stay near one over the brain."""

BOUND = 1.3
"""Units beyond which the field is held constant, so that cubic terms cannot run away."""


def exponents(order: int = ORDER) -> list[tuple[int, int, int]]:
    """All (i, j, k) with i + j + k <= order: 20 for order 3, the constant first."""
    reach = range(order + 1)
    return [(i, j, k) for i in reach for j in reach for k in reach if i + j + k <= order]


def basis(points: npt.NDArray[np.float32], order: int = ORDER) -> npt.NDArray[np.float32]:
    """(n, terms) float32: every monomial at points (n, 3) in MNI mm."""
    units = np.clip((points - np.array(MIDDLE, np.float32)) / np.float32(SPAN), -BOUND, BOUND)
    powers = [np.ones_like(units)]
    for _ in range(order):
        powers.append(powers[-1] * units)
    terms = [powers[i][:, 0] * powers[j][:, 1] * powers[k][:, 2] for i, j, k in exponents(order)]
    return np.stack(terms, 1).astype(np.float32)
