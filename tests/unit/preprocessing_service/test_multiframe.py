"""An enhanced MR file is the same volume as the classic series of its frames."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from preprocessing_service.steps.read import read
from preprocessing_service.volume import Volume
from tests.hostile import dicom_files
from tests.hostile.dicom_files import Change, Plan, image, series


def volume(folder: Path, change: Change, order: tuple[int, ...]) -> Volume:
    file = folder / "upload.zip"
    file.write_bytes(series(Plan(order=order, change=change)))
    return read(file)


def placed_as_enhanced(data: Dataset, k: int) -> None:
    """A classic slice with the pixels that the enhanced file has at this place."""
    data.PixelData = dicom_files.noise()[47 - k].tobytes()


@pytest.mark.parametrize("change", [dicom_files.enhanced, dicom_files.enhanced_jpeg_ls])
def test_frames_are_slices(tmp_path: Path, change: Change) -> None:
    classic = volume(tmp_path, placed_as_enhanced, tuple(range(48)))
    enhanced = volume(tmp_path, change, (0,))
    assert np.array_equal(enhanced.voxels, classic.voxels)
    assert np.allclose(enhanced.affine, classic.affine)


def test_the_source_names_the_one_instance(tmp_path: Path) -> None:
    found = volume(tmp_path, dicom_files.enhanced, (0,))
    assert found.source is not None
    assert len(found.source.instances) == 1


def test_of_magnitude_and_phase_in_one_file_the_magnitude_is_read(tmp_path: Path) -> None:
    def both(data: Dataset, k: int) -> None:
        dicom_files.enhanced(data, k)
        for n, own in enumerate(data.PerFrameFunctionalGroupsSequence):
            kind = "M" if n % 2 else "P"
            own.MRImageFrameTypeSequence = [
                dicom_files.nested(FrameType=["ORIGINAL", "PRIMARY", "MPR", kind])
            ]

    found = volume(tmp_path, both, (0,))
    assert found.shape == (24, 64, 64)
    assert np.array_equal(found.voxels[0], dicom_files.noise()[47])
    assert found.series is not None
    assert [one.code for one in found.series.passed_over] == ["complex_part"]


def test_a_deflated_instance_is_read(tmp_path: Path) -> None:
    file = tmp_path / "upload.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for k in range(48):
            archive.writestr(f"{k}", deflated(image(k, lambda data, k: None)))
    assert read(file).shape == (48, 64, 64)


def deflated(data: bytes) -> bytes:
    """The instance in Deflated Explicit VR Little Endian."""
    one = pydicom.dcmread(io.BytesIO(data))
    one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    out = io.BytesIO()
    one.save_as(out)
    return out.getvalue()
