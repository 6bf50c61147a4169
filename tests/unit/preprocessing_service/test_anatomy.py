"""Measuring: boxes, components, volumes, outlines, flags, norms, and one real brain from end to end."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from imaging.hemisphere import LEFT, RIGHT, SHAPE, SPACE_SHAPE, Structure, box_to_mni
from preprocessing_service.anatomy.boxes import OTHER_SIDE, boxes_of, cut_boxes, into_space
from preprocessing_service.anatomy.calibration import IDENTITY, Line, load_calibration
from preprocessing_service.anatomy.components import keep_structure
from preprocessing_service.anatomy.flags import (
    TEMPORAL_MNI,
    Flag,
    clipped,
    implausible,
    low_resolution,
)
from preprocessing_service.anatomy.measurement import Measurement, find, measure
from preprocessing_service.anatomy.network import (
    WEIGHTS,
    AnatomyNetwork,
    anatomy_network,
    fast_dtype,
    read_weights,
)
from preprocessing_service.anatomy.norms import load_norms, standing
from preprocessing_service.anatomy.outlines import on_grid, outlined, threshold
from preprocessing_service.anatomy.volumes import asymmetry, calibrated, occupancy, summed
from preprocessing_service.pipeline import examine
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.volume import Volume
from tests.support.volumes import nifti_bytes, template_brain, written

Floats = npt.NDArray[np.float32]
ONE, HORN = Structure.HIPPOCAMPUS, Structure.INFERIOR_HORN
KEYS = [(one, side) for one in Structure for side in (LEFT, RIGHT)]


def _ball(middle: tuple[int, int, int], radius: float, edge: float = 1.0) -> Floats:
    """Probability that falls from 1 to 0 over `edge` voxels across the ball's surface."""
    at = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    far = np.linalg.norm(at - middle, axis=-1)
    return np.clip((radius - far) / edge + 0.5, 0, 1).astype(np.float32)


def _probabilities(**structures: Floats) -> Floats:
    out = np.zeros((5, *SHAPE), np.float32)
    for name, value in structures.items():
        out[Structure[name.upper()]] = value
    out[0] = np.maximum(0, 1 - out[1:].sum(0))
    return out


def test_the_boxes_of_a_kept_brain_are_its_voxels() -> None:
    brain = np.random.default_rng(0).integers(0, 255, SPACE_SHAPE, np.uint8)
    grey = boxes_of(brain, np.eye(4)).grey
    assert grey.shape == (2, *SHAPE)
    again = into_space((grey > 200).astype(np.uint8), np.ones(grey.shape, np.float32))
    where = again > 0
    assert np.array_equal(where[27:75], (brain > 200)[27:75] & where[27:75])
    assert set(np.unique(again)) == {0, 1, 1 + OTHER_SIDE}


def test_where_both_boxes_see_the_midline_the_surer_label_stays() -> None:
    labels, sure = np.zeros((2, *SHAPE), np.uint8), np.zeros((2, *SHAPE), np.float32)
    middle = round(-box_to_mni(LEFT)[0, 3])  # x = 0 lies in both boxes
    labels[:, middle, 5, 5] = Structure.LATERAL_VENTRICLE
    sure[:, middle, 5, 5] = 1.2, 3.0
    found = into_space(labels, sure)
    assert found.max() == Structure.LATERAL_VENTRICLE + OTHER_SIDE
    assert np.count_nonzero(found) == 1


def test_an_islet_goes_and_a_hole_is_filled() -> None:
    hippocampus = _ball((28, 70, 30), 8)
    hippocampus[27:30, 69:72, 29:32] = 0
    hippocampus[50:53, 20:23, 60:63] = 1
    kept = keep_structure(_probabilities(hippocampus=hippocampus), ONE)
    assert kept.probability[51, 21, 61] == 0
    assert kept.probability[28, 70, 30] == 1
    assert 0.9 < kept.share < 1


def test_pieces_of_the_horn_stay_beside_the_hippocampus_only() -> None:
    horn = np.zeros(SHAPE, np.float32)
    horn[26:30, 80:83, 30:33], horn[26:30, 58:60, 30:33], horn[5:9, 10:14, 70:74] = 1, 1, 1
    found = _probabilities(hippocampus=_ball((28, 70, 30), 8), inferior_horn=horn)
    kept = keep_structure(found, HORN).probability
    assert kept[28, 81, 31] == kept[28, 58, 31] == 1
    assert kept[7, 12, 72] == 0
    assert keep_structure(_probabilities(), HORN).share == 0


def test_volumes_are_sums_of_probability_on_the_calibrated_scale() -> None:
    ball = _ball((28, 70, 30), 8)
    measured = summed({(ONE, LEFT): ball}, 0.002)
    assert measured[ONE, LEFT] == pytest.approx(2 * 4 / 3 * np.pi * 8**3 / 1000, rel=0.01)
    job_store = Line(0.9, -0.1, 0.2, 0.01, 10, 12)
    assert calibrated(measured, {ONE: job_store})[ONE, LEFT] == pytest.approx(0.9 * measured[ONE, LEFT] - 0.1)
    assert job_store(0.05) == 0
    assert job_store.spread(10) == pytest.approx(np.hypot(0.2, 0.1))


def test_asymmetry_and_occupancy() -> None:
    ml = {(ONE, LEFT): 3.0, (ONE, RIGHT): 2.0, (HORN, LEFT): 1.0, (HORN, RIGHT): 0.0}
    assert asymmetry(ml, ONE) == pytest.approx(0.4)
    assert occupancy(ml, LEFT) == pytest.approx(0.75)
    assert occupancy(ml, RIGHT) == 1
    nothing = dict.fromkeys(ml, 0.0)
    assert asymmetry(nothing, ONE) is None
    assert occupancy(nothing, LEFT) is None


def test_an_outline_holds_as_many_voxels_as_the_volume_says() -> None:
    kept = {(one, LEFT): np.zeros(SHAPE, np.float32) for one in Structure}
    kept[ONE, LEFT] = _ball((28, 70, 30), 8, edge=16)
    for ml in (1.5, 2.1):
        labels, _ = outlined(kept, {(one, LEFT): ml for one in Structure}, LEFT, 0.001)
        assert np.count_nonzero(labels == ONE) == pytest.approx(1000 * ml, rel=0.06)
        assert not (labels > 1).any()
    assert threshold(kept[ONE, LEFT], 0) == np.inf


def test_labels_on_the_grid_of_the_input_lie_where_the_structure_is() -> None:
    kept = {key: np.zeros(SHAPE, np.float32) for key in KEYS}
    kept[ONE, RIGHT] = _ball((28, 70, 30), 8)
    ml = dict.fromkeys(KEYS, 2.1)
    affine = np.diag([-0.8, 1.2, 1.0, 1.0])
    affine[:3, 3] = 60, -80, -60
    labels = on_grid(kept, ml, np.eye(4), affine=affine, shape=(160, 120, 110))
    at = np.argwhere(labels == ONE + OTHER_SIDE)
    middle = affine[:3, :3] @ at.mean(0) + affine[:3, 3]
    assert np.allclose(middle, (box_to_mni(RIGHT) @ (28, 70, 30, 1))[:3], atol=0.3)
    assert len(at) * 0.96 / 1000 == pytest.approx(2.1, rel=0.08)
    assert set(np.unique(labels)) == {0, ONE + OTHER_SIDE}


def test_an_image_that_ends_inside_the_hippocampus_is_clipped() -> None:
    affine = np.eye(4)
    affine[:3, 3] = -90, -126, -72
    assert not clipped(np.eye(4), affine=affine, shape=(181, 217, 181))
    low = TEMPORAL_MNI[0][2]
    affine[2, 3] = low + 5
    assert clipped(np.eye(4), affine=affine, shape=(181, 217, 181))


def test_thick_slices_are_flagged() -> None:
    assert not low_resolution(np.diag([1, 1, 1.5, 1.0]))
    assert low_resolution(np.diag([1, 1, 3, 1.0]))


def test_a_shape_that_no_brain_has_is_flagged() -> None:
    middle = tuple(int(v) for v in (np.array((-26, -21, -14)) - box_to_mni(LEFT)[:3, 3]))
    usual = {
        LEFT: _ball((middle[0], middle[1], middle[2]), 9),
        RIGHT: _ball((middle[0], middle[1], middle[2]), 9),
    }
    ml = {(one, side): {1: 3.0, 2: 0.5, 3: 10.0, 4: 1.2}[one] for one, side in KEYS}
    whole = {LEFT: 1.0, RIGHT: 0.99}
    assert not implausible(ml, usual, whole)
    assert implausible(ml | {(ONE, LEFT): 0.2}, usual, whole)
    assert implausible(ml | {(ONE, LEFT): 5.5}, usual, whole)
    assert implausible(ml, usual, {LEFT: 0.5, RIGHT: 1.0})
    assert implausible(ml, usual | {RIGHT: _ball((20, 20, 70), 9)}, whole)
    assert implausible(ml, usual | {RIGHT: np.zeros(SHAPE, np.float32)}, whole)


def test_the_mean_of_the_norms_is_the_fiftieth_percentile() -> None:
    healthy = load_norms()["F", ONE, LEFT].at(70)
    found = standing(healthy.mean, 0.1, (ONE, LEFT), age=70, sex="F")
    assert found is not None
    assert found.z == pytest.approx(0)
    assert found.percentile == pytest.approx(50)
    assert found.percentile_low < 50 < found.percentile_high
    assert found.z_high - found.z_low == pytest.approx(2 * 1.6449 * 0.1 / healthy.stdev)


@pytest.mark.parametrize(("age", "sex"), [(39, "F"), (94, "M"), (None, "M"), (70, None), (70, "O")])
def test_nobody_outside_the_norms_gets_a_percentile(age: float | None, sex: str | None) -> None:
    assert standing(3.0, 0.1, (ONE, LEFT), age=age, sex=sex) is None


def test_norms_are_whole_and_go_the_way_of_age() -> None:
    norms = load_norms()
    assert set(norms) == {(sex, *key) for sex in "FM" for key in KEYS}
    for sex in "FM":
        for side in (LEFT, RIGHT):
            assert norms[sex, ONE, side].at(85).mean < norms[sex, ONE, side].at(55).mean
            assert norms[sex, HORN, side].at(85).mean > norms[sex, HORN, side].at(55).mean
    tiny = standing(0.2, 0.1, (ONE, LEFT), age=70, sex="M")
    assert tiny is not None
    assert tiny.percentile == 0.1


def test_the_shipped_lines_are_whole() -> None:
    lines = load_calibration()
    assert set(lines) == set(Structure)
    for line in lines.values():
        assert 0.5 < line.slope < 1.5
        assert line.error > 0
        assert 0 < line.rescan < 0.1
        assert line.people >= 15


@cache
def _template(mirrored: bool = False) -> Prepared:
    volume = template_brain()
    if mirrored:
        volume = Volume(volume.voxels[::-1], volume.affine)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return examine(written(Path(folder), nifti_bytes(volume)))[1]


@cache
def _measured(mirrored: bool = False) -> Measurement:
    return measure(_template(mirrored))


def test_a_real_brain_is_measured() -> None:
    found = _measured()
    assert found.flags == ()
    for side in (LEFT, RIGHT):
        assert 2.0 < found.ml[ONE, side] < 5.5
        assert 0.8 < found.ml[Structure.AMYGDALA, side] < 2.5
        assert 3 < found.ml[Structure.LATERAL_VENTRICLE, side] < 30
        assert found.spread[ONE, side] > 0
    assert found.labels.shape == SPACE_SHAPE
    count = np.count_nonzero(found.labels == ONE) * cut_boxes(_template()).voxel_ml
    assert count == pytest.approx(found.ml[ONE, LEFT], rel=0.05)


def test_the_mirror_image_of_a_brain_has_its_sides_exchanged() -> None:
    plain, mirror = _measured(), _measured(mirrored=True)
    for one in Structure:
        for side in (LEFT, RIGHT):
            assert mirror.measured[one, 1 - side] == pytest.approx(
                plain.measured[one, side], rel=0.06, abs=0.03
            )


def test_bfloat16_measures_what_float32_measures() -> None:
    if fast_dtype() is torch.float32:
        pytest.skip("this processor multiplies no bfloat16")
    boxes = cut_boxes(_template())
    plain = find(boxes, AnatomyNetwork(read_weights(WEIGHTS), torch.float32)).measured()
    fast = find(boxes, anatomy_network()).measured()
    for key, value in plain.items():
        assert fast[key] == pytest.approx(value, rel=0.01, abs=0.01)


def test_an_empty_box_holds_nothing() -> None:
    boxes = boxes_of(np.zeros(SPACE_SHAPE, np.uint8), np.eye(4))
    found = find(boxes, anatomy_network()).measured()
    assert calibrated(found, dict.fromkeys(Structure, IDENTITY)).keys() == found.keys()


def test_flags_have_stable_codes() -> None:
    assert [flag.value for flag in Flag] == ["low_resolution", "clipped_field", "implausible_shape"]
