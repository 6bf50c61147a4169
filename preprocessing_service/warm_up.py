"""Making a fresh process as fast as an old one: one core, networks loaded, voxel loops compiled."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from contracts.errors import HippocampError
from preprocessing_service.brain_extraction.network import model
from preprocessing_service.pipeline import prepare


def warm_up() -> None:
    """Walk a ball with a brain's layers through every step; the quality gate may refuse it at the end."""
    threadpool_limits(1)
    torch.set_num_threads(1)
    model("fine")
    with tempfile.TemporaryDirectory(prefix="hippocamp-") as folder, suppress(HippocampError):
        prepare(_phantom(Path(folder)))


def _phantom(folder: Path) -> Path:
    """A 1 mm NIfTI file: scalp, dark skull, tissue, dark ventricles."""
    z, y, x = np.ogrid[-1:1:160j, -1:1:200j, -1:1:170j]
    radius = np.sqrt((z / 0.8) ** 2 + (y / 0.85) ** 2 + (x / 0.8) ** 2)
    voxels = np.select([radius < 0.2, radius < 0.75, radius < 0.85, radius < 1], [60, 200, 30, 120], 0)
    path = folder / "ball.nii"
    nib.save(nib.Nifti1Image(voxels.astype(np.int16), np.eye(4)), path)  # type: ignore[no-untyped-call]
    return path
