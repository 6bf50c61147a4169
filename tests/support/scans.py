"""Scans of the sizes that hospitals send: 0.1, 2, 12 and 120 MB, as NIfTI and as a DICOM T1 series."""

from __future__ import annotations

import gzip
import io
import zipfile
from dataclasses import dataclass
from functools import cache

import nibabel as nib
import numpy as np

from deploy.local.sample import sample_volume
from tests.e2e import volumes
from tests.integration.dicomweb.series import encoded, slices

SHAPES = {"0.1 MB": (20, 50, 50), "2 MB": (40, 160, 160), "120 MB": (240, 512, 512)}
"""Slices, rows, columns of two bytes each; the scan of 12 MB is a real one."""
SIZES = ("0.1 MB", "2 MB", "12 MB", "120 MB")


@dataclass(frozen=True)
class Scan:
    """One scan in every form in which it is sent. instances: DICOM files, one a slice."""

    nifti: bytes
    packed: bytes
    instances: tuple[bytes, ...]

    @property
    def archive(self) -> bytes:
        """The series as a zip."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for n, one in enumerate(self.instances):
                archive.writestr(f"IM{n:04d}", one)
        return out.getvalue()


@cache
def scan(size: str) -> Scan:
    """The scan of this size; the real whole head for 12 MB, noise for the others."""
    if size == "12 MB":
        return _real()
    shape = SHAPES[size]
    voxels = np.random.default_rng(0).integers(0, 4000, shape).astype("<i2")
    raw = bytes(nib.Nifti1Image(voxels, np.eye(4)).to_bytes())
    series = slices("1.2.3.1", shape[0], Rows=shape[1], Columns=shape[2])
    for one, pixels in zip(series, voxels, strict=True):
        one.PixelData = pixels.tobytes()
    return Scan(raw, gzip.compress(raw, 1), tuple(encoded(one) for one in series))


def _real() -> Scan:
    packed = sample_volume().read_bytes()
    with zipfile.ZipFile(io.BytesIO(volumes.dicom_series(sample_volume()))) as archive:
        instances = tuple(archive.read(name) for name in archive.namelist())
    return Scan(gzip.decompress(packed), packed, instances)
