"""The boxes of both hemispheres: where they lie, and that going through the brain space loses nothing."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.hemisphere import (
    CLASSES,
    LEFT,
    RIGHT,
    SHAPE,
    SPACE_SHAPE,
    Structure,
    box_grid,
    box_in_space,
    box_to_mni,
    space_to_mni,
)


def test_the_right_box_is_the_mirror_image_of_the_left_one() -> None:
    voxel = np.array([10, 20, 30, 1])
    left, right = box_to_mni(LEFT) @ voxel, box_to_mni(RIGHT) @ voxel
    assert left[0] < 0 < right[0]
    assert np.allclose(left[:3], right[:3] * (-1, 1, 1))


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_box_copies_the_voxels_of_the_brain_space(side: int) -> None:
    x, y, z = (space_to_mni()[a, 3] + np.arange(SPACE_SHAPE[a], dtype=float) for a in range(3))
    where = box_in_space(side)
    for axis, mm in enumerate((x, y, z)):
        wanted = box_to_mni(side)[axis, axis] * np.arange(SHAPE[axis]) + box_to_mni(side)[axis, 3]
        assert np.array_equal(mm[where[axis]], wanted)


def test_the_grid_is_the_box() -> None:
    grid = box_grid(RIGHT)
    assert grid.shape == SHAPE[::-1]
    assert np.array_equal(grid.to_mni, box_to_mni(RIGHT))


def test_every_structure_is_a_class() -> None:
    assert [one.name.lower().replace("_", " ") for one in Structure] == list(CLASSES[1:])
