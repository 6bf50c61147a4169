"""The whole path: heads come out upright in any form, everything else is refused with its code."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from contracts.errors import NotAHead, NotT1w, QualityRefused
from contracts.stack import Stack
from imaging.grid import BRAIN, GRID_TO_MNI
from preprocessing_service import digest, pipeline_digest, prepare
from preprocessing_service.pipeline import STEPS
from preprocessing_service.volume import Volume
from tests.support.volumes import dicom_slices, head, nifti_bytes, template_brain, written, zipped


def likeness(one: Stack, other: Stack) -> float:
    a, b = (stack.slices.astype(np.float64).ravel() for stack in (one, other))
    return float(np.corrcoef(a, b)[0, 1])


def template_slices() -> npt.NDArray[np.float64]:
    """The template read on the grid by scipy, (32, 208, 176): what a perfect pipeline would show."""
    brain = template_brain()
    index = np.indices((176, 208, 32)).reshape(3, -1)
    at = np.linalg.inv(brain.affine) @ GRID_TO_MNI @ np.vstack([index, np.ones(index.shape[1])])
    seen = ndimage.map_coordinates(brain.voxels.astype(float), at[:3], order=1)
    return np.asarray(seen.reshape(176, 208, 32).T)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return prepare(written(tmp_path_factory.mktemp("head"), nifti_bytes(head())))


def test_a_head_lands_on_the_grid(plain: Stack) -> None:
    seen, wanted = plain.slices.astype(float).ravel(), template_slices().ravel()
    assert np.corrcoef(seen, wanted)[0, 1] > 0.95
    assert np.abs(plain.grid_to_world - GRID_TO_MNI)[:3, 3].max() < 1.0
    assert plain.input_shape == head().shape


def test_steps_are_told_and_timed(tmp_path: Path, plain: Stack) -> None:
    told: list[str] = []
    again = prepare(written(tmp_path, nifti_bytes(head())), scratch=tmp_path, on_step=told.append)
    assert tuple(told) == STEPS == tuple(again.seconds)
    assert np.array_equal(again.slices, plain.slices)


def test_the_kept_brain_is_the_template_in_the_world_of_the_file(plain: Stack) -> None:
    image = nib.Nifti1Image.from_bytes(gzip.decompress(plain.brain))
    kept, wanted = np.asarray(image.dataobj), template_brain()
    assert kept.shape == BRAIN.shape[::-1]
    assert kept.dtype == np.uint8
    assert np.abs(image.affine - BRAIN.to_mni).max() < 1.0  # the head lies in template space already
    index = np.indices(kept.shape).reshape(3, -1)
    at = (np.linalg.inv(wanted.affine) @ image.affine)[:3] @ np.vstack([index, np.ones(index.shape[1])])
    seen = ndimage.map_coordinates(wanted.voxels.astype(float), at, order=1)
    assert np.corrcoef(kept.ravel(), seen)[0, 1] > 0.95
    assert not kept[[0, -1]].any()  # nothing is cut off
    assert not kept[:, :, -1].any()


def test_other_axes_and_world_give_the_same_slices(tmp_path: Path, plain: Stack) -> None:
    order = np.ascontiguousarray(head().voxels.transpose(2, 0, 1)[::-1])
    swap = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, order.shape[0] - 1], [0, 0, 0, 1.0]])
    stack = prepare(written(tmp_path, nifti_bytes(Volume(order, head().affine @ swap)), packed=True))
    assert likeness(stack, plain) > 0.999
    assert np.allclose(stack.grid_to_world, plain.grid_to_world, atol=0.05)


@pytest.mark.parametrize(("slope", "offset"), [(0.01, -1.5), (0.001, 5.0)], ids=["standardised", "on a step"])
def test_intensities_that_do_not_begin_at_zero_are_grounded(
    tmp_path: Path, plain: Stack, slope: float, offset: float
) -> None:
    data = nifti_bytes(Volume((head().voxels * slope + offset).astype(np.float32), head().affine))
    assert likeness(prepare(written(tmp_path, data)), plain) > 0.999


def test_dicom_and_nifti_of_one_head_agree(tmp_path: Path, plain: Stack) -> None:
    stack = prepare(zipped(tmp_path, dicom_slices(head())))
    assert likeness(stack, plain) > 0.999


def test_a_stripped_brain_is_accepted(tmp_path: Path) -> None:
    stack = prepare(written(tmp_path, nifti_bytes(template_brain())))
    assert stack.quality["stripped_before"] == 1.0
    assert np.corrcoef(stack.slices.ravel(), template_slices().ravel())[0, 1] > 0.97


def phantom(voxels: npt.NDArray[np.float64]) -> bytes:
    return nifti_bytes(Volume(voxels.astype(np.int16), np.diag([2.0, 2, 2, 1])))


def sphere() -> npt.NDArray[np.float64]:
    far = np.linalg.norm(np.indices((90, 90, 90)) - 45, axis=0)
    return 300.0 * (far < 35) + np.random.default_rng(0).normal(20, 5, far.shape)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(phantom(sphere()), id="sphere"),
        pytest.param(phantom(np.random.default_rng(0).uniform(0, 900, (90, 90, 90))), id="noise"),
        pytest.param(phantom(np.indices((90, 90, 90)).sum(0).astype(float)), id="slope"),
    ],
)
def test_phantoms_are_no_heads(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NotAHead):
        prepare(written(tmp_path, data))


def test_turned_contrast_is_no_t1(tmp_path: Path) -> None:
    voxels = head().voxels.astype(float)
    turned = np.where(voxels > 40, np.clip(270 - voxels, 5, None), voxels)
    with pytest.raises(NotT1w):
        prepare(written(tmp_path, nifti_bytes(Volume(turned.astype(np.int16), head().affine))))


def test_half_a_head_is_refused(tmp_path: Path) -> None:
    half = np.ascontiguousarray(head().voxels[:, : head().shape[1] // 2])
    with pytest.raises(QualityRefused):
        prepare(written(tmp_path, nifti_bytes(Volume(half, head().affine))))


def test_digest_is_stable_and_knows_every_module() -> None:
    assert pipeline_digest() == pipeline_digest()
    assert len(bytes.fromhex(pipeline_digest())) == 32
    folder = Path(digest.__file__).parent
    deciding = {file for pattern in digest.DECIDING for file in folder.glob(pattern)}
    others = {file for file in folder.rglob("*.py") if file.parent.name not in digest.SEPARATE} - deciding
    undeciding = {file.name for file in others} - {"__init__.py"}
    assert undeciding <= digest.BESIDE, "put the module into DECIDING or BESIDE"


@pytest.mark.parametrize(
    "name",
    ["colin27_T1w.nii.gz", "colin27_brain.nii.gz", "ds000031_T1w.nii.gz", "uih_t1_gre_3d_sag_dicom.zip"],
)
def test_real_heads_pass(name: str) -> None:
    root = os.environ.get("HIPPOCAMP_DATA")
    if not root:
        pytest.skip("HIPPOCAMP_DATA is not set: the real heads were not tried")
    stack = prepare(Path(root) / "volumes" / name)
    assert np.corrcoef(stack.slices.ravel(), template_slices().ravel())[0, 1] > 0.85
