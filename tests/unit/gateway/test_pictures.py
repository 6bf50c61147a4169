"""What is drawn, and where the map comes to lie."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest

from contracts.explanation import Explanation
from contracts.stack import HEIGHT, SLICES, WIDTH, Stack
from gateway.images import geometry, heatmap, pictures

GRID = np.array([[-1.0, 0, 0, 87.5], [0, 1, 0, -103.5], [0, 0, 1, -15.5], [0, 0, 0, 1]])


def stack(affine: np.ndarray, shape: tuple[int, int, int]) -> Stack:
    slices = np.zeros((SLICES, HEIGHT, WIDTH), np.uint8)
    return Stack(slices, grid_to_world=GRID, input_shape=shape, input_affine=affine)


def explanation(maps: np.ndarray) -> Explanation:
    return Explanation(maps.astype(np.float16), np.zeros((SLICES, 3), np.float32))


def volume(of: Stack, maps: np.ndarray, which: int = 2) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(heatmap.to_nifti(of, explanation(maps), which)))


def turned(degrees: float, zoom: float) -> np.ndarray:
    """An oblique voxel grid, stored in another axis order (slices first), centred on the slab."""
    a, b = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    spin = np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.eye(3)[:, [2, 0, 1]] * zoom
    affine = np.eye(4)
    affine[:3, :3] = spin
    affine[:3, 3] = -spin @ np.array([75, 90, 95])
    return affine


@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_a_hot_cell_is_hottest_at_its_place_in_the_world(degrees: float, zoom: float) -> None:
    maps = np.zeros((SLICES, 3, 8, 8))
    maps[20, 2, 5, 2] = 3
    image = volume(stack(turned(degrees, zoom), (150, 180, 190)), maps)
    data = image.get_fdata()
    assert data.sum() * zoom**3 == pytest.approx(3 * WIDTH / 8 * HEIGHT / 8, rel=0.1)
    weight = data / data.sum()
    centre = np.array([(weight * axis).sum() for axis in np.indices(data.shape)])
    world = image.affine @ [*centre, 1]
    cell = [(2 + 0.5) * WIDTH / 8 - 0.5, (5 + 0.5) * HEIGHT / 8 - 0.5, 20, 1]
    np.testing.assert_allclose(world, GRID @ cell, atol=0.3 * zoom)


def test_outside_the_slab_there_is_exactly_nothing() -> None:
    image = volume(stack(turned(15, 2.0), (150, 180, 190)), np.ones((SLICES, 3, 7, 6)))
    data = image.get_fdata()
    index = np.argwhere(data >= 0)
    grid = np.linalg.inv(GRID) @ image.affine @ np.c_[index, np.ones(len(index))].T
    inside = np.all(
        [(grid[n] >= -0.5) & (grid[n] <= size - 0.5) for n, size in enumerate((WIDTH, HEIGHT, SLICES))],
        axis=0,
    )
    np.testing.assert_allclose(data.ravel(), inside, atol=0.01)
    volume_mm3 = inside.sum() * 8
    assert volume_mm3 == pytest.approx(SLICES * HEIGHT * WIDTH, rel=0.07)  # planes of voxels lie on the faces


def test_an_input_beside_the_slab_gives_an_empty_map() -> None:
    affine = np.eye(4)
    affine[:3, 3] = 1000
    assert not volume(stack(affine, (10, 11, 12)), np.ones((SLICES, 3, 7, 6))).get_fdata().any()


def test_one_colour_scale_for_all_classes() -> None:
    maps = np.zeros((SLICES, 3, 7, 6))
    maps[:, 1], maps[:, 2] = 0.5, 2
    shown = explanation(maps)
    assert pictures.activation_scale(shown) == 2
    assert pictures.heat(shown, 0, 2).min() == 1
    assert pictures.heat(shown, 0, 1).max() == pytest.approx(0.25)
    assert pictures.heat(shown, 0, 0).max() == 0


def test_the_overlay_sits_where_the_map_is() -> None:
    maps = np.zeros((SLICES, 3, 8, 8))
    maps[:, 1:, 6, 1] = 1
    share = pictures.heat(explanation(maps), 0, 2)
    row, column = (int(axis.mean()) for axis in np.nonzero(share == share.max()))
    assert (row // (HEIGHT // 8), column // (WIDTH // 8)) == (6, 1)
    grey = np.full((HEIGHT, WIDTH), 100, np.uint8)
    painted = pictures.paint(grey, share, 0.8)
    assert painted[row, column].tolist() != [100, 100, 100]
    assert painted[10, 170].tolist() == [100, 100, 100]


def test_maps_without_any_evidence_paint_nothing() -> None:
    share = pictures.heat(explanation(np.zeros((SLICES, 3, 7, 6))), 0, 0)
    assert not share.any()


def test_sides_and_size() -> None:
    one = stack(np.eye(4), (9, 9, 9))
    assert (geometry.left_edge(one), geometry.spacing_mm(one)) == ("R", 1.0)
