"""How features move when only the look of a head changes, so that the head of the network can ignore it.

The training slices were prepared by other tools than ours: another skull strip, darker fluid, another
sharpness. The same subjects are shown with their look changed; the main directions in which features move
are taken out (nuisance attribute projection, Solomonoff et al. 2005). No label is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, gaussian_filter

from model_store.features import Network, stack_features
from model_store.head import Doubles

DIRECTIONS = 5
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


def nuisance_directions(network: Network, stacks: Iterable[Stack]) -> Doubles:
    """(5, 2048) orthonormal: the main directions of the volume features' moves over looks and subjects."""
    moves = []
    for stack in stacks:
        shown = stack[::EVERY]
        before = stack_features(network, shown).mean(axis=0)
        moves += [stack_features(network, look(shown)).mean(axis=0) - before for look in LOOKS]
    _, _, directions = np.linalg.svd(np.asarray(moves, dtype=np.float64), full_matrices=False)
    return np.asarray(directions[:DIRECTIONS])


def without_nuisance(volume: Doubles, directions: Doubles) -> Doubles:
    """(n, 2048) features less their part along the directions.

    A head fitted on these has no weight along them, so it gives the same on features that still hold them.
    """
    return np.asarray(volume - (volume @ directions.T) @ directions)
