"""Drawings of label maps: shares that add up, atrophy of the size that was asked for, the map's oddities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imaging.hemisphere import LEFT, RIGHT, SHAPE, Structure
from model_store.anatomy import codes
from model_store.anatomy.deformation import draw_geometry, read_geometry, revisited, unmoved
from model_store.anatomy.drawing import draw_levels
from model_store.anatomy.generator import TEMPORAL, WHOLE_EVERY, Generator
from model_store.anatomy.label_maps import FOLDER_VARIABLE, chosen_folder, fill_sulcus, make_sources
from tests.unit.model_store.anatomies import MIDDLE, RADIUS, balls

FLAT = np.zeros(codes.OTHER, np.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_shares_of_a_random_anatomy_add_up_to_one(seed: int) -> None:
    read = read_geometry(draw_geometry(balls(), np.random.default_rng(seed)), FLAT)
    assert read.shares.shape == (5, *SHAPE)
    assert np.allclose(read.shares.sum(0), 1, atol=1e-5)
    assert read.shares.min() >= 0


@pytest.mark.parametrize("growth", [-2.0, -0.5, 0.7])
def test_a_ball_grows_and_shrinks_by_the_millimetres_that_were_asked(growth: float) -> None:
    plain = unmoved(balls())
    sizes = [
        float(read_geometry(one, FLAT).shares[Structure.HIPPOCAMPUS].sum())
        for one in (plain, replace(plain, growth=(0.0, 0.0, growth)))
    ]
    wanted = ((RADIUS + growth) / RADIUS) ** 3
    assert sizes[1] / sizes[0] == pytest.approx(wanted, abs=0.25 * abs(wanted - 1))


def test_a_voxel_on_the_edge_has_the_mixture_of_both_levels() -> None:
    levels = FLAT.copy()
    levels[[codes.WHITE, codes.HIPPOCAMPUS]] = 200, 120
    half = np.eye(4)
    half[0, 3] = 0.5
    read = read_geometry(replace(unmoved(balls()), turn=half), levels)
    share = read.shares[Structure.HIPPOCAMPUS]
    near = np.abs(np.indices(SHAPE).T - MIDDLE).max(-1).T < 13  # away from the ventricle, whose level is 0
    assert set(np.unique(share[near]).round(3)) == {0.0, 0.5, 1.0}
    assert np.allclose(read.picture[near], 200 - 80 * share[near], atol=1e-3)


def test_a_second_visit_moves_the_anatomy_and_keeps_its_size() -> None:
    first = unmoved(balls())
    rng = np.random.default_rng(3)
    again = next(one for one in (revisited(first, rng) for _ in range(20)) if one.growth == first.growth)
    one, other = (read_geometry(g, FLAT).shares[Structure.HIPPOCAMPUS] for g in (first, again))
    assert not np.array_equal(one, other)
    assert other.sum() == pytest.approx(one.sum(), rel=0.01)


def test_a_step_always_draws_the_same_pictures() -> None:
    generator = Generator([balls()], seed=4)
    one, other, next_one = (generator.batch(step) for step in (1, 1, 2))
    assert np.array_equal(one.pictures, other.pictures)
    assert not np.array_equal(one.pictures, next_one.pictures)
    assert one.pictures.shape == (2, *TEMPORAL)
    assert generator.batch(WHOLE_EVERY).pictures.shape == (1, *SHAPE)
    inside = one.pictures[one.pictures > 0]
    assert 1 <= inside.min() <= inside.max() <= 255


def test_levels_stay_between_black_and_white() -> None:
    rng = np.random.default_rng(0)
    levels = np.stack([draw_levels(rng) for _ in range(200)])
    assert levels.min() >= 0
    assert levels.max() <= 255
    assert levels[:, codes.WHITE].mean() == pytest.approx(202, abs=3)


def test_plexus_belongs_to_its_ventricle_on_both_sides() -> None:
    maps = np.array([136, 163, 137, 164, 17, 53, 14, 999], np.int16)
    left, right = codes.seen_from(maps, LEFT), codes.seen_from(maps, RIGHT)
    assert left.tolist() == [21, 21 + 32, 22, 22 + 32, 14, 14 + 32, 11, 0]
    assert right.tolist() == [21 + 32, 21, 22 + 32, 22, 14 + 32, 14, 11, 0]
    assert codes.TARGET[left].tolist() == [3, 0, 2, 0, 1, 0, 0, 0]


def test_a_hole_in_the_hippocampus_is_filled_and_a_horn_beside_it_is_not() -> None:
    labels = np.full((30, 30, 30), codes.WHITE, np.uint8)
    labels[8:22, 8:22, 8:22] = codes.HIPPOCAMPUS
    labels[14:16, 14:16, 14:16] = codes.CSF
    labels[20:22, 14:16, 14:16] = codes.HORN
    filled = fill_sulcus(labels)
    assert (filled[14:16, 14:16, 14:16] == codes.SULCUS).all()
    assert codes.TARGET[codes.SULCUS] == Structure.HIPPOCAMPUS
    assert np.array_equal(filled == codes.HORN, labels == codes.HORN)


def test_missing_label_maps_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(SystemExit, match=FOLDER_VARIABLE):
        chosen_folder(None)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert chosen_folder(None) == tmp_path
    with pytest.raises(SystemExit, match=r"holds no .*label maps"):
        make_sources(tmp_path, tmp_path / "out")
