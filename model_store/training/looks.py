"""Ways in which the same head can look different: what scanners, preparation and resampling do to a stack.

Each takes and gives a stack (32, 208, 176) uint8, background 0. Sizes are about those that real heads
show when they are turned, drawn at 2 mm, sliced thickly or disturbed by noise before preparation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, binary_erosion, gaussian_filter, shift

Stack = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Look = Callable[[Stack], Stack]


def with_brighter_fluid(stack: Stack) -> Stack:
    """Inside the mask 0-255 becomes 30-255."""
    return np.where(stack > 0, 30 + stack * (225 / 255), 0).astype(np.uint8)


def with_tighter_mask(stack: Stack) -> Stack:
    """Two pixels off the rim of every slice."""
    kept = np.stack([binary_erosion(one > 0, iterations=2) for one in stack])
    return np.where(kept, stack, 0).astype(np.uint8)


def with_gamma(exponent: float) -> Look:
    """Darker above 1, brighter below."""
    return lambda stack: (255 * (stack / 255.0) ** exponent).astype(np.uint8)


def blurred(widths: tuple[float, float, float]) -> Look:
    """A Gaussian across slices, rows and columns, in pixels, of the brain alone: its rim stays."""
    return lambda stack: _inside(_smooth(stack, widths), stack)


def sharpened(stack: Stack) -> Stack:
    """Half of what a Gaussian of one pixel takes away, put on top."""
    return _inside(1.5 * stack.astype(np.float32) - 0.5 * _smooth(stack, (1, 1, 1)), stack)


def noisy(spread: float) -> Look:
    """Rician noise of this standard deviation in grey values; the same for the same stack."""

    def look(stack: Stack) -> Stack:
        chooser = np.random.default_rng(int(stack.sum(dtype=np.int64)) % 9999)
        first, second = (spread * chooser.standard_normal(stack.shape, np.float32) for _ in range(2))
        return _inside(np.hypot(stack + first, second), stack)

    return look


def moved(pixels: tuple[float, float, float]) -> Look:
    """Shifted across slices, rows and columns, read linearly as resampling does."""
    return lambda stack: _whole(shift(stack.astype(np.float32), pixels, order=1, mode="nearest"))


def turned(degrees: float, scale: float = 1.0) -> Look:
    """Turned within slices about the middle, and shrunk by `scale`."""
    cosine, sine = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    matrix = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])

    def look(stack: Stack) -> Stack:
        middle = (np.array(stack.shape) - 1) / 2
        start = middle - matrix @ middle
        return _whole(affine_transform(stack.astype(np.float32), matrix, start, order=1, mode="nearest"))

    return look


def _smooth(stack: Stack, widths: tuple[float, float, float]) -> Floats:
    brain = gaussian_filter((stack > 0).astype(np.float32), widths)
    return np.asarray(gaussian_filter(stack.astype(np.float32), widths) / np.maximum(brain, 0.05))


def _inside(values: Floats, stack: Stack) -> Stack:
    return np.where(stack > 0, np.clip(np.rint(values), 1, 255), 0).astype(np.uint8)


def _whole(values: Floats) -> Stack:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


LOOKS: dict[str, Look] = {
    "brighter fluid": with_brighter_fluid,
    "tighter mask": with_tighter_mask,
    "darker": with_gamma(1.2),
    "brighter": with_gamma(0.85),
    "blurred by 0.5": blurred((0.5, 0.5, 0.5)),
    "blurred by 0.8": blurred((0.8, 0.8, 0.8)),
    "blurred by 1.2": blurred((1.2, 1.2, 1.2)),
    "thick slices": blurred((1.4, 0, 0)),
    "thick rows": blurred((0, 1.3, 0)),
    "sharpened": sharpened,
    "noise of 8": noisy(8),
    "noise of 16": noisy(16),
    "noise of 24": noisy(24),
    "higher": moved((0.7, 0, 0)),
    "to the side": moved((0, 0, 0.6)),
    "forward": moved((0, 0.7, 0)),
    "between pixels": moved((0, 0.5, 0.5)),
    "turned": turned(1.0),
    "larger": turned(0.0, 1.01),
}
