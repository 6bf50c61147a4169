"""Slices, overlays and the montage as PNG: grey anatomy, coloured where the network saw evidence."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from contracts.explanation import Explanation
from contracts.stack import HEIGHT, WIDTH, Stack

Grey = npt.NDArray[np.uint8]
Heat = npt.NDArray[np.float32]

_COLUMNS = 8
SHOW_FROM = 0.15
"""Share of full colour below which nothing is painted, so that noise does not tint the whole head."""
_STOPS = np.linspace(0, 1, 6)
_INFERNO = np.array(
    [[58, 12, 96], [120, 28, 109], [187, 55, 84], [237, 105, 37], [251, 180, 26], [252, 255, 164]],
    dtype=float,
)
"""Six colours of matplotlib's inferno (CC0): lightness rises evenly, also for colour-blind eyes."""


def activation_scale(explanation: Explanation) -> float:
    """The map value painted at full colour: the 99.5th percentile over all slices and classes.

    One scale for all, so that a class without evidence stays dark beside one that has it.
    """
    return max(float(np.percentile(explanation.maps.astype(np.float32), 99.5)), 1e-6)


def heat(explanation: Explanation, n: int, which: int) -> Heat:
    """(208, 176) share of full colour, 0 to 1, of class `which` on slice `n` (0-based)."""
    small = Image.fromarray(explanation.maps[n, which].astype(np.float32))
    large = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float32)
    share: Heat = np.clip(large / np.float32(activation_scale(explanation)), 0, 1)
    return share


def paint(grey: Grey, share: Heat, opacity: float) -> Grey:
    """(h, w, 3) uint8: `grey` (h, w) under the colours of `share` (h, w), more opaque where there is more."""
    alpha = opacity * np.clip((share - SHOW_FROM) / (1 - SHOW_FROM), 0, 1)[..., None] ** 0.7
    return np.asarray(np.rint(grey[..., None] * (1 - alpha) + colours(share) * alpha), dtype=np.uint8)


def colours(share: Heat) -> npt.NDArray[np.float64]:
    """(..., 3), 0 to 255: the colour of each share."""
    return np.stack([np.interp(share, _STOPS, _INFERNO[:, c]) for c in range(3)], axis=-1)


def upright(pixels: Grey) -> Grey:
    """As radiologists hang it, nose up: the training grid has its rows from posterior to anterior."""
    return pixels[::-1]


def montage(stack: Stack, explanation: Explanation | None, which: int, opacity: float) -> Grey:
    """All 32 slices, 8 a row, (4 x 208, 8 x 176[, 3]) uint8."""
    tiles = [
        paint(grey, heat(explanation, n, which), opacity) if explanation else grey
        for n, grey in enumerate(stack.slices)
    ]
    tiles = [upright(tile) for tile in tiles]
    rows = [np.concatenate(tiles[at : at + _COLUMNS], axis=1) for at in range(0, len(tiles), _COLUMNS)]
    return np.concatenate(rows, axis=0)


def to_png(pixels: Grey, scale: int = 1) -> bytes:
    """PNG of (h, w) or (h, w, 3) uint8, enlarged smoothly."""
    image = Image.fromarray(pixels)
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=3)
    return out.getvalue()
