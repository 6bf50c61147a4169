"""What must be refused although it may look like a head: parts, a wrong header, bodies without anatomy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from preprocessing_service.volume import Volume

Radii = tuple[int, int, int]
SHAPE = (100, 120, 100)
"""Voxels of 2 mm."""

BODIES: dict[str, Radii] = {"sphere": (35, 35, 35), "brain-sized body": (34, 43, 32), "noise": (0, 0, 0)}


def body(radii: Radii) -> Volume:
    """An ellipsoid of these radii (voxels) with a brighter core, and noise; without a size, noise alone."""
    rng = np.random.default_rng(0)
    if not any(radii):
        return Volume(rng.uniform(0, 900, SHAPE).astype(np.int16), np.diag([2.0, 2, 2, 1]))
    middle = (np.indices(SHAPE).T - np.array(SHAPE) / 2) / radii
    far = np.linalg.norm(middle, axis=-1).T
    voxels = 200 * (far < 1) + 100 * (far < 0.6) + rng.normal(20, 5, SHAPE)
    smooth = np.clip(ndimage.gaussian_filter(voxels, 0.5), 0, None)
    return Volume(smooth.astype(np.int16), np.diag([2.0, 2, 2, 1]))


def later(head: Volume, axis: int, share: float) -> Volume:
    """Only the planes from `share` of an axis on."""
    first = int(head.shape[axis] * share)
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, axis] * first
    return head.with_view(np.moveaxis(np.moveaxis(head.voxels, axis, 0)[first:], 0, axis), affine)


def blackened(head: Volume) -> Volume:
    """One half set to zero."""
    voxels = np.array(head.voxels)
    voxels[: head.shape[0] // 2] = 0
    return Volume(voxels, head.affine)


PARTS: dict[str, Callable[[Volume], Volume]] = {
    "right half": lambda head: later(head, 0, 0.5),
    "front half": lambda head: later(head, 1, 0.5),
    "upper half": lambda head: later(head, 2, 0.6),
    "half in black": blackened,
    "upside down": lambda head: head.with_view(head.voxels[:, :, ::-1], head.affine),
}
