"""The largest kinds of input that are taken, or refused, in a fresh process each: peak memory and answer.

All show one head pitched by 40 degrees, so that each of them asks the second network too.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from isal import igzip
from nibabel.freesurfer import MGHImage
from nibabel.nifti1 import Nifti1Image
from pydicom.dataset import FileDataset, FileMetaDataset
from scipy import ndimage

from bench.heads import HEADS, load_head, redraw, turned
from bench.preprocess_speed import Cost, cost
from preprocessing_service.volume import Matrix, Volume

Voxels = npt.NDArray[Any]
Make = Callable[[Volume, Path], Path]


def largest(folder: Path) -> Iterator[tuple[str, Cost]]:
    """What each kind costs; one file at a time is on disk."""
    head = redraw(load_head(HEADS[1]), turned((40, 0, 0)))
    for name, make in KINDS.items():
        file = make(head, folder)
        yield name, cost(file)
        file.unlink()


def _drawn(head: Volume, shape: tuple[int, int, int], zooms: tuple[float, ...], kind: str) -> Volume:
    """The head's nearest voxels on another grid about the same middle."""
    affine = np.diag([*zooms, 1.0])
    middle = head.affine @ [*(np.array(head.shape) - 1) / 2, 1]
    affine[:3, 3] = middle[:3] - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    to_voxel = np.linalg.inv(head.affine) @ affine
    out = np.empty(shape, kind, order="F")
    ndimage.affine_transform(
        head.voxels, np.diag(to_voxel[:3, :3]), to_voxel[:3, 3], shape, order=0, output=out
    )
    return Volume(out, affine)


def _nifti(shape: tuple[int, int, int], zooms: tuple[float, ...], kind: str) -> Make:
    def make(head: Volume, folder: Path) -> Path:
        drawn, file = _drawn(head, shape, zooms, kind), folder / "largest.nii.gz"
        with igzip.open(file, "wb", compresslevel=0) as out:
            _write_nifti(drawn, out)
        return file

    return make


def _write_nifti(drawn: Volume, out: Any) -> None:
    header: Any = Nifti1Image(np.zeros((1, 1, 1), drawn.voxels.dtype), drawn.affine).header  # type: ignore[no-untyped-call]
    header.set_data_shape(drawn.shape)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    out.write(header.binaryblock + bytes(4))
    for plane in drawn.voxels.transpose(2, 1, 0):
        out.write(plane.tobytes())


def _zipped_nifti(head: Volume, folder: Path) -> Path:
    file = folder / "largest.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        drawn = _drawn(head, (512, 512, 512), (0.5,) * 3, "i2")
        with archive.open("scan.nii", "w", force_zip64=True) as out:
            _write_nifti(drawn, out)
    return file


def _mgz(head: Volume, folder: Path) -> Path:
    file, drawn = folder / "largest.mgz", _drawn(head, (256, 256, 256), (1.0,) * 3, "f4")
    MGHImage(drawn.voxels, drawn.affine).to_filename(file)  # type: ignore[no-untyped-call]
    return file


def _series(*shapes: tuple[int, int, int]) -> Make:
    """An archive of one series a shape; the first is named T1, the others T2."""

    def make(head: Volume, folder: Path) -> Path:
        file = folder / "largest.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for number, shape in enumerate(shapes):
                drawn = _drawn(head, shape, _over_head(shape), "i2")
                for k in range(shape[2]):
                    archive.writestr(f"{number}/{k:04d}", _dicom(drawn, number, [k]))
        return file

    return make


def _over_head(shape: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(256 / n for n in shape)


def _many_frames(head: Volume, folder: Path) -> Path:
    file, shape = folder / "largest.zip", (512, 512, 208)
    drawn = _drawn(head, shape, _over_head(shape), "i2")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("volume", _dicom(drawn, 0, list(range(shape[2]))))
    return file


def _dicom(drawn: Volume, number: int, planes: list[int]) -> bytes:
    """An uncompressed file of one plane, or an enhanced one of several."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    meta.MediaStorageSOPInstanceUID = f"1.2.{number + 1}.{planes[0] + 1}"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPInstanceUID, data.SeriesInstanceUID = meta.MediaStorageSOPInstanceUID, f"1.2.{number + 1}"
    data.Modality, data.SeriesDescription = "MR", "t2_tse" if number else "t1_mprage"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored = *drawn.shape[1::-1], 16, 16
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 1, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = np.ascontiguousarray(drawn.voxels[:, :, planes].transpose(2, 1, 0)).tobytes()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ drawn.affine
    if len(planes) == 1:
        _place(data, data, data, lps, planes[0])
    else:
        data.NumberOfFrames = len(planes)
        data.PerFrameFunctionalGroupsSequence = [_frame(lps, k) for k in planes]
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _frame(lps: Matrix, k: int) -> pydicom.Dataset:
    group, parts = pydicom.Dataset(), [pydicom.Dataset() for _ in range(3)]
    _place(*parts, lps, k)
    group.PlanePositionSequence, group.PlaneOrientationSequence, group.PixelMeasuresSequence = (
        [one] for one in parts
    )
    return group


def _place(
    position: pydicom.Dataset, turn: pydicom.Dataset, measures: pydicom.Dataset, lps: Matrix, k: int
) -> None:
    zooms = np.linalg.norm(lps[:3, :3], axis=0)
    axes = (lps[:3, :2] / zooms[:2]).T.ravel()
    turn.ImageOrientationPatient = [f"{x:.8g}" for x in axes]
    position.ImagePositionPatient = [f"{x:.8g}" for x in (lps @ [0, 0, k, 1])[:3]]
    measures.PixelSpacing = [f"{zooms[1]:.8g}", f"{zooms[0]:.8g}"]


KINDS: dict[str, Make] = {
    "512 x 512 x 512 of 0.5 mm, int16": _nifti((512, 512, 512), (0.5,) * 3, "i2"),
    "512 x 512 x 512 of 0.5 mm, float32": _nifti((512, 512, 512), (0.5,) * 3, "f4"),
    "512 x 512 x 512 of 0.5 mm, float64": _nifti((512, 512, 512), (0.5,) * 3, "f8"),
    "512 x 512 x 512 of 0.5 mm, int16, in a zip": _zipped_nifti,
    "512 x 512 x 136 of 0.8 x 0.8 x 1.6 mm, int16": _nifti((512, 512, 136), (0.8, 0.8, 1.6), "i2"),
    "512 x 512 x 136 of 0.8 x 0.8 x 1.6 mm, float32": _nifti((512, 512, 136), (0.8, 0.8, 1.6), "f4"),
    "512 x 512 x 512 of 0.8 mm, uint8": _nifti((512, 512, 512), (0.8,) * 3, "u1"),
    "272 x 272 x 272 of 0.94 mm, float32": _nifti((272, 272, 272), (0.94,) * 3, "f4"),
    "256 x 256 x 256, float32, .mgz": _mgz,
    "DICOM, 160 of 512 x 512": _series((512, 512, 160)),
    "DICOM, one file of 208 frames of 512 x 512": _many_frames,
    "DICOM, three series of 160 of 512 x 512": _series(*[(512, 512, 160)] * 3),
    "DICOM, 400 of 512 x 512": _series((512, 512, 400)),
}
