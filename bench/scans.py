"""Real whole heads of 12 MB, each under a digest of its own: the sample with its lowest bits thrown anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip

from deploy.local.sample import sample_volume
from tests.e2e.volumes import dicom_zip

Writer = Callable[[Path, int], Path]
_LEVEL = 1
"""Of compression: level 3 makes the file a hundredth smaller."""


@cache
def _sample() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float64]]:
    image = cast("Any", nib).load(sample_volume())
    return np.asanyarray(image.dataobj), image.affine


def voxels(number: int) -> npt.NDArray[np.int16]:
    """(192, 256, 256): the sample head; `number` decides the lowest bit of every voxel above 1."""
    head, _ = _sample()
    noise = np.random.default_rng(number).integers(0, 2, head.shape, np.int16)
    return np.where(head > 1, head & ~1 | noise, head)


def packed(number: int) -> bytes:
    """Scan `number` as a compressed NIfTI file of about 12 MB; the same bytes for the same number."""
    image = cast("Any", nib).Nifti1Image(voxels(number), _sample()[1])
    return bytes(igzip.compress(image.to_bytes(), _LEVEL, mtime=0))


def nifti(path: Path, number: int) -> Path:
    """Write scan `number` as a compressed NIfTI file."""
    path.write_bytes(packed(number))
    return path


def dicom(path: Path, number: int) -> Path:
    """Write scan `number` as a zip of 192 MR images; the same bytes for the same number."""
    path.write_bytes(dicom_zip(voxels(number).astype(np.uint16), _sample()[1], seed=number))
    return path


def scans(folder: Path, count: int, *, write: Writer = nifti) -> list[Path]:
    """`count` different scans."""
    return [write(folder / f"scan{n:05d}", n) for n in range(count)]
