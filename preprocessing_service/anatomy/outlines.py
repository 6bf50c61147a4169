"""Label maps whose outlines hold what the table says: the most probable voxels, as many as the volume has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from imaging.hemisphere import LEFT, SHAPE, Structure
from preprocessing_service.anatomy.boxes import OTHER_SIDE, SIDES, to_box
from preprocessing_service.volume import Matrix

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Kept = Mapping[tuple[Structure, int], Floats]
Volumes = Mapping[tuple[Structure, int], float]
Shape = tuple[int, int, int]
LEAST = 0.05
"""Probability below which no voxel is drawn, whatever the volume."""


def threshold(probability: Floats, voxels: float) -> float:
    """The probability that so many voxels reach."""
    count = round(voxels)
    if count <= 0:
        return np.inf
    likely = probability[probability > LEAST]
    return float(np.partition(likely, -count)[-count]) if count <= likely.size else LEAST


def outlined(kept: Kept, ml: Volumes, side: int, voxel_ml: float) -> tuple[Bytes, Floats]:
    """(labels, certainty) of one side on the grid of its probabilities.

    ml: calibrated volumes. A voxel that two structures claim goes to the one that exceeds its threshold more.
    """
    shape = kept[Structure.HIPPOCAMPUS, side].shape
    labels, certainty = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    for structure in Structure:
        least = np.float32(threshold(kept[structure, side], ml[structure, side] / voxel_ml))
        at = np.nonzero(kept[structure, side] >= least)  # a hundredth of all voxels
        ratio = kept[structure, side][at] / least
        better = ratio >= certainty[at]
        at = tuple(axis[better] for axis in at)
        labels[at], certainty[at] = structure, ratio[better]
    return labels, certainty


def on_grid(kept: Kept, ml: Volumes, to_world: Matrix, *, affine: Matrix, shape: Shape) -> Bytes:
    """The label map on another grid, such as the input's; right labels plus OTHER_SIDE.

    affine: (4, 4), voxel of that grid -> mm of the input's world. Probabilities are read linearly there.
    """
    out, best = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    voxel_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
    for side in SIDES:
        matrix = to_box(to_world, side) @ affine
        box = _around(np.asarray(np.linalg.inv(matrix)), shape)
        if any(axis.stop <= axis.start for axis in box):
            continue
        read = {(one, side): _read(kept[one, side], matrix, box) for one in Structure}
        labels, certainty = outlined(read, ml, side, voxel_ml)
        better = (labels > 0) & (certainty > best[box])
        out[box][better] = labels[better] + np.uint8(0 if side == LEFT else OTHER_SIDE)
        best[box][better] = certainty[better]
    return out


def _around(to_voxel: Matrix, shape: Shape) -> tuple[slice, slice, slice]:
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in SHAPE])).reshape(3, -1)
    at = to_voxel[:3, :3] @ corners + to_voxel[:3, 3:]
    first = np.maximum(np.floor(at.min(1)).astype(int), 0)
    stop = np.minimum(np.ceil(at.max(1)).astype(int) + 1, shape)
    a, b, c = (slice(int(low), int(high)) for low, high in zip(first, stop, strict=True))
    return a, b, c


def _read(probability: Floats, matrix: Matrix, box: tuple[slice, slice, slice]) -> Floats:
    low = np.array([axis.start for axis in box])
    size = tuple(axis.stop - axis.start for axis in box)
    offset = matrix[:3, :3] @ low + matrix[:3, 3]
    read = ndimage.affine_transform(probability, matrix[:3, :3], offset, output_shape=size, order=1)
    return np.asarray(read, dtype=np.float32)
