"""Step 2: see the volume along right, anterior, superior axes, without moving a voxel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from preprocessing_service.volume import Volume


def conform(volume: Volume) -> Volume:
    """A view whose axes run closest to right, anterior, superior: strides change, voxels stay.

    Example: stored (left, superior, anterior) -> axes (0, 2, 1), the first reversed.
    """
    order, reverse = nearest_axes(volume.affine[:3, :3])
    voxels = volume.voxels.transpose(order)
    turn = np.eye(4)
    turn[:3, :3] = 0
    for axis, stored in enumerate(order):
        turn[stored, axis] = -1 if reverse[axis] else 1
        if reverse[axis]:
            turn[stored, 3] = voxels.shape[axis] - 1
    steps = tuple(slice(None, None, -1 if back else 1) for back in reverse)
    return volume.with_view(voxels[steps], volume.affine @ turn)


STEP = 2.0**-14
"""mm; 6e-5, which moves no voxel of a head by more than 0.03 mm."""


def settled(volume: Volume) -> Volume:
    """The volume with an affine in steps of STEP, so that one scan is one scan: DICOM writes decimals, NIfTI
    32-bit floats. Their last digits differ, and what is decided at a threshold later may not hang on them.
    """
    return replace(volume, affine=np.asarray(np.rint(volume.affine / STEP) * STEP))


def nearest_axes(directions: npt.NDArray[np.float64]) -> tuple[list[int], list[bool]]:
    """For each world axis the stored axis that follows it best, and whether backwards.

    directions: (3, 3), columns are the stored axes in world mm. The best of the six assignments is taken, so
    that no axis is used twice even at 45 degrees.
    """
    cosines = directions / np.linalg.norm(directions, axis=0)
    orders = ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    order = max(orders, key=lambda o: sum(abs(cosines[axis, stored]) for axis, stored in enumerate(o)))
    return order, [bool(cosines[axis, stored] < 0) for axis, stored in enumerate(order)]
