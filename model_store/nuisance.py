"""How features move when only the look of a head changes, so that the head of the network can ignore it.

The training slices were prepared by other tools than ours: another skull strip, darker fluid, another
sharpness. The same subjects are shown with their look changed, and the head pays for every change of
severity that a look alone brings about. No label is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, gaussian_filter

from model_store.head import Doubles

DIRECTIONS = 40
"""Main directions of the looks' moves that are kept; the rest of them is small."""
CAUTION = 1 / 3
"""How dear it is for severity to move with a look, in units of the head's ridge."""
EVERY = 2
"""Slices that are looked at: every second shows the same change at half the time."""
Stack = npt.NDArray[np.uint8]


def with_brighter_fluid(stack: Stack) -> Stack:
    """Inside the mask 0-255 becomes 30-255."""
    return np.where(stack > 0, 30 + stack * (225 / 255), 0).astype(np.uint8)


def with_tighter_mask(stack: Stack) -> Stack:
    """Two pixels off the rim of every slice."""
    kept = np.stack([binary_erosion(one > 0, iterations=2) for one in stack])
    return np.where(kept, stack, 0).astype(np.uint8)


def blurred(stack: Stack) -> Stack:
    """A Gaussian of 0.7 pixels within slices."""
    return gaussian_filter(stack.astype(np.float32), (0, 0.7, 0.7)).clip(0, 255).astype(np.uint8)


def with_gamma(exponent: float) -> Callable[[Stack], Stack]:
    """Darker above 1, brighter below."""
    return lambda stack: (255 * (stack / 255.0) ** exponent).astype(np.uint8)


LOOKS = (with_brighter_fluid, with_tighter_mask, blurred, with_gamma(1.2), with_gamma(0.85))


@dataclass(frozen=True)
class Nuisance:
    """directions (r, k), orthonormal; damping (r,), the share of a feature along each that is taken off."""

    directions: Doubles
    damping: Doubles

    def damped(self, volume: Doubles) -> Doubles:
        """(n, k) volume features, shrunk along the directions.

        Ridge on these is ridge with the further price `CAUTION` on every squared change of severity by a
        look. The matrix is symmetric: a direction fitted on damped features, damped itself, gives the same
        on features as they come.
        """
        return np.asarray(volume - ((volume @ self.directions.T) * self.damping) @ self.directions)


def fit_nuisance(moves: Doubles) -> Nuisance:
    """moves: (m, k), what each look did to a subject's features.

    (1 + caution * move' move)^-1/2 in the span of the moves (a soft form of nuisance attribute projection,
    Solomonoff et al. 2005).
    """
    _, lengths, directions = np.linalg.svd(moves, full_matrices=False)
    damping = 1 - 1 / np.sqrt(1 + CAUTION * lengths**2)
    return Nuisance(np.asarray(directions[:DIRECTIONS]), np.asarray(damping[:DIRECTIONS]))


def look_moves(features: Callable[[Stack], Doubles], stacks: Iterable[Stack]) -> Doubles:
    """(subjects * looks, k): what each look does. features: every second slice of a stack -> (k,)."""
    moves = []
    for stack in stacks:
        before = features(stack[::EVERY])
        moves += [features(look(stack[::EVERY])) - before for look in LOOKS]
    return np.asarray(moves, dtype=np.float64)
