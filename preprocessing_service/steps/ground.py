"""Part of step 2: intensities that count from zero, as scanners store them; standardised images do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from preprocessing_service.volume import Volume

STRIDE = 7
"""Voxels between those looked at, along each axis."""

TAILS = (0.005, 0.995)
BELOW, ABOVE = -0.05, 0.5
"""Where the darkest may lie, in parts of the range: ringing goes a bit below zero, air is not half bright."""


def grounded(volume: Volume) -> Volume:
    """The volume with its darkest intensity as zero when that lies far from it; most stay as they are."""
    seen = volume.voxels[::STRIDE, ::STRIDE, ::STRIDE].astype(np.float64) * volume.slope + volume.intercept
    low, high = (float(end) for end in np.quantile(seen, TAILS))
    if not high > low or BELOW <= low / (high - low) <= ABOVE:
        return volume
    return replace(volume, intercept=volume.intercept - low)
