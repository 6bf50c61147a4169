"""Simulated atrophy: a smooth warp that widens ventricles, temporal horns or sulci of images and label maps.

Tissue is moved away from a fluid mask along the gradient of the distance to it; the push fades with that
distance. Nothing is painted: what grows is the fluid that is there. Uses numpy and scipy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
MARGIN = 3.0
"""Reaches around the mask that the warp is computed in; beyond, less than a twentieth of the push is left."""

SMOOTH = 1.0
"""mm; a distance has ridges, where tissue would tear."""

STEEPEST = 0.8
"""Of its reach that a push may be: from 1 on the warp would fold."""


@dataclass(frozen=True)
class Push:
    """mask: the fluid, bool over the image. by: mm at its edge. reach: mm over which it fades to a third."""

    mask: Mask
    by: float
    reach: float


def push_for(mask: Mask, zooms: npt.NDArray[np.float64], *, factor: float, reach: float) -> Push:
    """The push that makes the mask `factor` times as large, or the largest that does not fold."""
    box = _box(mask, zooms, reach)
    far = _distance(mask[box], zooms)
    wanted = factor * np.count_nonzero(mask)

    def lacks(by: float) -> float:
        return float(np.count_nonzero(far < by * np.exp(-np.abs(far) / reach)) - wanted)

    most = STEEPEST * reach
    by = most if lacks(most) < 0 else float(optimize.brentq(lacks, 0.0, most, xtol=0.02))
    return Push(mask, by, reach)


def warped(image: npt.NDArray[np.generic], pushes: list[Push], zooms: npt.NDArray[np.float64]) -> Floats:
    """The image with every mask widened, (a, b, c) float32; integers are label maps and keep their values."""
    labels = np.issubdtype(image.dtype, np.integer)
    out = np.array(image, np.float32)
    for push in pushes:
        box = _box(push.mask, zooms, push.reach)
        part = out[box]
        source = _source(push, box, zooms)
        out[box] = ndimage.map_coordinates(part, source, order=0 if labels else 1, mode="nearest")
    return out


def _source(push: Push, box: tuple[slice, ...], zooms: npt.NDArray[np.float64]) -> Floats:
    """(3, ...) index in the box that each of its voxels is read from."""
    far = _distance(push.mask[box], zooms)
    slopes = np.stack(np.gradient(far, *zooms.tolist()))
    slopes /= np.maximum(np.linalg.norm(slopes, axis=0), 1.0)  # ridges push less, nothing pushes more
    size = push.by * np.exp(-np.abs(far) / push.reach)
    moved = slopes * size / zooms[:, None, None, None]
    return np.asarray(np.indices(far.shape, dtype=np.float32) - moved, np.float32)


def _distance(mask: Mask, zooms: npt.NDArray[np.float64]) -> Floats:
    """mm to the mask's edge, negative inside it."""
    # From the edge between two voxels, not from the middle of the next one.
    half = float(zooms.mean()) / 2
    outside, inside = (ndimage.distance_transform_edt(part, zooms) for part in (~mask, mask))
    signed = np.where(mask, half - inside, outside - half).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(signed, SMOOTH / zooms), np.float32)


def _box(mask: Mask, zooms: npt.NDArray[np.float64], reach: float) -> tuple[slice, ...]:
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    rims = np.ceil(MARGIN * reach / zooms).astype(int)
    return tuple(
        slice(max(axis.start - rim, 0), axis.stop + rim)
        for axis, rim in zip(found, rims.tolist(), strict=True)
    )
