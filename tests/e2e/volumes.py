"""Volumes made from the sample: damaged ones, phantoms, and the same head as a DICOM series."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


def nifti(voxels: npt.NDArray[np.generic], affine: npt.NDArray[np.float64] | None = None) -> bytes:
    """A compressed NIfTI-1 file."""
    image = nib.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
    return gzip.compress(image.to_bytes(), compresslevel=1)


def sphere(radius_mm: float = 70) -> npt.NDArray[np.int16]:
    """A bright ball of 1 mm voxels in darkness, with a little noise: a phantom, no head."""
    centre = np.indices((192, 192, 192)) - 96
    ball = (np.sqrt((centre**2).sum(0)) < radius_mm) * 800.0
    noise = np.random.default_rng(0).normal(0, 20, ball.shape)
    return np.clip(ball + noise, 0, None).astype(np.int16)


def nudged(volume: Path, by: int = 1) -> bytes:
    """The same head with one corner voxel changed, so that its content digest is new."""
    image = nib.load(volume)
    voxels = np.asanyarray(image.dataobj).copy()
    voxels[0, 0, 0] += by
    return nifti(voxels, image.affine)


def dicom_series(volume: Path, *, patient_id: str = "CANARY-1") -> bytes:
    """A zip of one MR image a sagittal slice, geometry and voxels as in the NIfTI file."""
    image = nib.load(volume)
    stored = np.asanyarray(image.dataobj)
    voxels = np.rint(stored).astype(np.uint16)
    assert np.array_equal(voxels, stored), "the series would not hold the same voxels"
    return dicom_zip(voxels, image.affine, patient_id=patient_id)


def dicom_zip(
    voxels: npt.NDArray[np.uint16],
    affine: npt.NDArray[np.float64],
    *,
    seed: int | None = None,
    patient_id: str = "CANARY-1",
) -> bytes:
    """The same of an array; with a seed the same UIDs, and so the same bytes, every time."""
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    study, series = _uid(seed, "study"), _uid(seed, "series")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        # Written in an order that is not that of the positions: a reader must sort.
        for k in np.random.default_rng(0).permutation(voxels.shape[0]):
            uids = study, series, _uid(seed, f"image {k}")
            one = _slice(voxels[k], to_lps, k=int(k), uids=uids, patient_id=patient_id)
            entry = zipfile.ZipInfo(f"IM{int(k):04d}")  # its time is always the same
            archive.writestr(entry, one, zipfile.ZIP_DEFLATED, compresslevel=1)
    return out.getvalue()


def _uid(seed: int | None, name: str) -> str:
    return generate_uid(entropy_srcs=None if seed is None else [name, str(seed)])


def _slice(
    pixels: npt.NDArray[np.uint16],
    to_lps: npt.NDArray[np.float64],
    *,
    k: int,
    uids: tuple[str, str, str],
    patient_id: str,
) -> bytes:
    """Slice k along the first axis; image columns run along the second array axis, rows along the third."""
    steps = to_lps[:3, :3]
    sizes = np.linalg.norm(steps, axis=0)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    study, series, meta.MediaStorageSOPInstanceUID = uids
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series
    data.Modality, data.PatientName, data.PatientID = "MR", "Canary^Patient", patient_id
    data.SeriesDescription = "t1_mprage_sag"
    data.InstanceNumber = k + 1
    data.ImagePositionPatient = [float(x) for x in to_lps[:3, 3] + k * steps[:, 0]]
    data.ImageOrientationPatient = [float(x) for x in (*(steps[:, 1] / sizes[1]), *(steps[:, 2] / sizes[2]))]
    data.PixelSpacing = [float(sizes[2]), float(sizes[1])]
    data.SliceThickness = float(sizes[0])
    data.Rows, data.Columns = pixels.shape[1], pixels.shape[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    data.PixelData = np.ascontiguousarray(pixels.T).tobytes()
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()
