"""Synthetic heads and phantoms, made from the MNI152 brain that nilearn ships, and files of them."""

from __future__ import annotations

import gzip
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from scipy import ndimage

from preprocessing_service.assets import template_file
from preprocessing_service.volume import Matrix, Volume

EDGE = 24
"""Voxels added around the template, so that skull and scalp fit."""


@cache
def template_brain() -> Volume:
    """The template itself: a stripped brain, 1 mm, uint8."""
    image: Any = nibabel.load(template_file("t1"))
    return Volume(np.asanyarray(image.dataobj), np.asarray(image.affine, dtype=np.float64))


@cache
def head() -> Volume:
    """The template's brain in fluid, skull and scalp with a little noise: 1 mm, int16, seeded."""
    brain = template_brain()
    voxels = np.pad(brain.voxels.astype(np.float32), EDGE)
    # Level sets of a blurred mask stand for distances from the brain: fluid, skull, scalp.
    far = ndimage.gaussian_filter((voxels > 0).astype(np.float32), 6)
    shells = np.select([far > 0.33, far > 0.12, far > 0.012], [60.0, 15.0, 230.0], 0.0)
    voxels = np.where(voxels > 0, voxels, shells)
    voxels += np.random.default_rng(0).normal(0, 4, voxels.shape)
    affine = brain.affine.copy()
    affine[:3, 3] -= EDGE
    return Volume(np.clip(voxels, 0, None).astype(np.int16), affine)


def nifti_bytes(volume: Volume, **fields: Any) -> bytes:
    """A NIfTI-1 file of the volume; `fields` overwrite the header (a lie, unless the voxels fit)."""
    image: Any = nibabel.Nifti1Image(volume.voxels, volume.affine)
    header = image.header
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header.set_sform(volume.affine, code=1)
    header.set_qform(None, code=0)
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock + b"\0\0\0\0" + volume.voxels.tobytes(order="F"))


def small(voxels: npt.NDArray[Any] | None = None) -> Volume:
    """A 12 x 14 x 16 volume of distinct numbers with a slanted affine."""
    if voxels is None:
        voxels = np.arange(12 * 14 * 16, dtype=np.int16).reshape(12, 14, 16)
    affine = np.array([[-2.0, 0.1, 0, 10], [0.1, 2.5, 0.2, -20], [0, -0.2, 3.0, 5], [0, 0, 0, 1]])
    return Volume(voxels, affine)


def written(folder: Path, data: bytes, *, packed: bool = False) -> Path:
    """The bytes in a file whose name says nothing."""
    file = folder / "upload"
    file.write_bytes(gzip.compress(data, 1) if packed else data)
    return file


def zipped(folder: Path, entries: dict[str, bytes]) -> Path:
    """A zip archive of the entries."""
    file = folder / "upload.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file


def dicom_slices(volume: Volume, **tags: Any) -> dict[str, bytes]:
    """One uncompressed DICOM file a plane along the volume's last axis, named in reverse order."""
    flip = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    count = volume.shape[2]
    return {f"s{count - k:04d}": _slice_bytes(volume, flip, k, tags) for k in range(count)}


def _slice_bytes(volume: Volume, lps: Matrix, k: int, tags: dict[str, Any]) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    meta.MediaStorageSOPInstanceUID = f"1.2.3.{k + 1}"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    zooms = np.linalg.norm(lps[:3, :3], axis=0)
    data.SOPInstanceUID, data.SeriesInstanceUID, data.Modality = f"1.2.3.{k + 1}", "1.2.3", "MR"
    data.SeriesDescription = "t1_mprage"
    # Stored rows run along the volume's second axis, columns along its first.
    data.ImageOrientationPatient = [f"{x:.10g}" for x in [*(lps[:3, 0] / zooms[0]), *(lps[:3, 1] / zooms[1])]]
    data.ImagePositionPatient = [f"{x:.10g}" for x in lps @ [0, 0, k, 1]][:3]
    data.PixelSpacing = [f"{zooms[1]:.10g}", f"{zooms[0]:.10g}"]
    pixels = np.ascontiguousarray(volume.voxels[:, :, k].T.astype("<i2"))
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation, data.SamplesPerPixel = 1, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()
