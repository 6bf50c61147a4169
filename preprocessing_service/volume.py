"""The volume as the steps pass it on: voxels in the type they were stored in, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.series_read import SeriesRead
from contracts.source import DicomSource

ASSUMED = (("orientation_assumed", 1.0),)
"""Fact of a file that does not say how its voxels lie: left and right are a convention then."""

Matrix = npt.NDArray[np.float64]
"""(4, 4) homogeneous affine; lengths in mm, world axes right, anterior, superior (RAS+)."""


@dataclass(frozen=True)
class Volume:
    """One 3-D image; its intensity is `voxels * slope + intercept`, applied only to what is sampled.

    voxels: (i, j, k) uint8, int16, uint16 or float32, any strides, every value finite.
    affine: (4, 4), voxel -> mm (RAS+).
    facts: figures about the file that quality and the operator may want to see.
    source: the DICOM series it was read from.
    series: which series that was, and which were passed over; None for a single volume.
    """

    voxels: npt.NDArray[Any]
    affine: Matrix
    slope: float = 1.0
    intercept: float = 0.0
    facts: tuple[tuple[str, float], ...] = ()
    source: DicomSource | None = None
    series: SeriesRead | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three axes."""
        a, b, c = self.voxels.shape
        return a, b, c

    @property
    def zooms(self) -> npt.NDArray[np.float64]:
        """(3,) edge lengths of one voxel, mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def with_view(self, voxels: npt.NDArray[Any], affine: Matrix) -> Volume:
        """The same intensities seen along other axes."""
        return replace(self, voxels=voxels, affine=affine)
