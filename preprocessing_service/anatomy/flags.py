"""What the reader of a measurement must know: a cut field, thick slices, a shape that no brain has."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from imaging.hemisphere import CORNER, LEFT, RIGHT, Structure
from preprocessing_service.anatomy.boxes import SIDES
from preprocessing_service.anatomy.volumes import Millilitres, asymmetry
from preprocessing_service.volume import Matrix

Floats = npt.NDArray[np.float32]


class Flag(StrEnum):
    """Stable codes."""

    LOW_RESOLUTION = "low_resolution"
    CLIPPED_FIELD = "clipped_field"
    IMPLAUSIBLE_SHAPE = "implausible_shape"


MOST_MM = 1.5
"""Edge of a voxel beyond which thin structures are blurred."""

TEMPORAL_MNI = ((-40.0, -46.0, -30.0), (-8.0, 2.0, 10.0))
"""MNI152 mm between which the left hippocampus lies in nearly everybody; all of it must be in the image."""

PLAUSIBLE_ML: Mapping[Structure, tuple[float, float]] = {
    Structure.HIPPOCAMPUS: (0.7, 7.0),
    Structure.INFERIOR_HORN: (0.0, 15.0),
    Structure.LATERAL_VENTRICLE: (0.8, 120.0),
    Structure.AMYGDALA: (0.3, 4.0),
}
"""ml of one side, calibrated: wider than any of the label maps (hippocampus 1.4 to 5.3) and norms."""

MOST_ASYMMETRY: Mapping[Structure, float] = {Structure.HIPPOCAMPUS: 0.5, Structure.AMYGDALA: 0.7}
"""|left - right| over their mean; the most asymmetric of 20 label maps have 0.33 and 0.35."""

FARTHEST_MM = 12.0
"""Between the middle of a hippocampus and where it lies on average."""

USUAL_MNI = (-26.0, -21.0, -14.0)
LEAST_SHARE = 0.85
"""Of the hippocampus voxels, in its largest component: what is scattered is no hippocampus."""


def clipped(to_world: Matrix, *, affine: Matrix, shape: tuple[int, int, int]) -> bool:
    """Whether a corner of either temporal region lies outside the image; affine: voxel -> mm of the world."""
    low, high = np.array(TEMPORAL_MNI)
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1)
    both = np.concatenate([corners, corners * np.array([[-1.0], [1], [1]])], 1)
    matrix = np.linalg.inv(affine) @ to_world
    at = matrix[:3, :3] @ both + matrix[:3, 3:]
    return bool((at < -0.5).any() or (np.array(shape) - 0.5 < at.T).any())


def low_resolution(affine: Matrix) -> bool:
    """Whether any edge of the input's voxels is longer than MOST_MM."""
    return bool(np.linalg.norm(affine[:3, :3], axis=0).max() > MOST_MM)


def implausible(ml: Millilitres, hippocampi: Mapping[int, Floats], shares: Mapping[int, float]) -> bool:
    """Size, symmetry, place or coherence that no brain has: a tumour, a resection, a failed network.

    hippocampi, shares: side -> probability (x, y, z) in the box, and share in its largest component.
    """
    sized = all(PLAUSIBLE_ML[one][0] <= value <= PLAUSIBLE_ML[one][1] for (one, _), value in ml.items())
    even = all(abs(asymmetry(ml, one) or 0.0) <= most for one, most in MOST_ASYMMETRY.items())
    whole = all(shares[side] >= LEAST_SHARE for side in (LEFT, RIGHT))
    return not (sized and even and whole and all(_in_place(hippocampi[side]) for side in SIDES))


def _in_place(probability: Floats) -> bool:
    total = float(probability.sum())
    if total <= 0:
        return False
    middle = [
        float((probability.sum(tuple({0, 1, 2} - {axis})) @ np.arange(probability.shape[axis])) / total)
        for axis in range(3)
    ]
    # Both boxes look left: the right one is mirrored.
    at = np.array(middle) + CORNER
    return bool(np.linalg.norm(at - USUAL_MNI) <= FARTHEST_MM)
