"""One scan is one scan: the same voxels as DICOM and as NIfTI give the same slices, by either network."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from preprocessing_service import pipeline
from preprocessing_service.steps.conform import STEP, settled
from preprocessing_service.volume import Volume
from tests.support.volumes import dicom_slices, head

pytestmark = pytest.mark.inputs


def scan() -> Volume:
    """A head of 2 mm, acquired oblique, with a field of 256 mm along one axis."""
    whole = head()
    voxels = whole.voxels[::2, ::2, ::2]
    turn, tilt = np.deg2rad(7.3), np.deg2rad(4.1)
    about_x = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    about_z = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = whole.affine.copy()
    affine[:3, :3] = about_x @ about_z @ affine[:3, :3] * 2
    return Volume(np.ascontiguousarray(voxels), affine)


def as_dicom(volume: Volume) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in dicom_slices(volume).items():
            archive.writestr(name, data)
    return out.getvalue()


def as_dcm2niix(volume: Volume) -> bytes:
    """Rows from below, both matrices, 16 bits."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 1] * (volume.shape[1] - 1)
    affine[:3, 1] *= -1
    image = nib.Nifti1Image(volume.voxels[:, ::-1].astype(np.int16), affine)
    image.set_qform(affine, 1)
    return bytes(image.to_bytes())


def as_plain(volume: Volume) -> bytes:
    return bytes(nib.Nifti1Image(volume.voxels.astype(np.float32), volume.affine).to_bytes())


FORMS = {"DICOM": as_dicom, "dcm2niix": as_dcm2niix, "plain": as_plain}


@pytest.mark.parametrize("again", [False, True], ids=["first extraction", "second extraction"])
def test_of_the_same_voxels_the_slices_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    monkeypatch.setattr(pipeline, "doubtful", lambda *_: again)
    found: dict[str, npt.NDArray[np.uint8]] = {}
    for name, make in FORMS.items():
        file = tmp_path / name
        file.write_bytes(make(scan()))
        stack, _ = pipeline.examine(file)
        assert stack.quality["escalated"] == again
        found[name] = stack.slices
    for name in FORMS:
        different = found[name].astype(int) - found["plain"]
        assert np.abs(different).max() <= 2, name
        assert np.abs(different).mean() < 0.01, name


def test_an_affine_is_settled_by_less_than_voxels_can_show() -> None:
    exact, corner = scan(), np.array([255, 255, 255, 1])
    assert np.abs((settled(exact).affine - exact.affine) @ corner).max() < 0.03
    nearly = replace(exact, affine=settled(exact).affine + STEP / 1000)
    assert np.array_equal(settled(nearly).affine, settled(exact).affine)
