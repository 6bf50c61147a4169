"""When the second network is asked, what it is shown, and what becomes of its answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from contracts.errors import NotAHead
from preprocessing_service import pipeline
from preprocessing_service.coarse import coarsen
from preprocessing_service.sampling import redraw, strided
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.outline import HELD
from preprocessing_service.steps.quality import overlap
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.second_extraction import (
    BELOW,
    CELLS,
    LATTICE,
    LOSS,
    SURFACES,
    doubtful,
    strip_again,
    surface_ratio,
    upright_box,
)
from preprocessing_service.steps.strip import SIZE, Brain
from preprocessing_service.template import load_template
from preprocessing_service.volume import Matrix, Volume
from tests.support.volumes import head, template_brain

Floats = npt.NDArray[np.float32]


def test_a_poor_fit_and_an_odd_surface_are_doubtful() -> None:
    usual = sum(SURFACES) / 2
    assert not doubtful(BELOW, usual)
    assert doubtful(BELOW - 0.001, usual)
    assert doubtful(0.96, SURFACES[0] - 0.001)
    assert doubtful(0.96, SURFACES[1] + 0.001)
    assert doubtful(float("nan"), usual) is False  # no overlap is NaN: its parts are counted
    assert doubtful(0.96, float("nan"))


@pytest.mark.parametrize(("shape", "zooms"), [((160, 160, 160), (1, 1, 1)), ((80, 120, 60), (2, 1.5, 3))])
def test_a_ball_has_a_balls_surface(shape: tuple[int, int, int], zooms: tuple[float, ...]) -> None:
    volume = Volume(np.zeros(shape, np.uint8), np.diag([*zooms, 1.0]))
    middle = np.indices((128, 128, 128)) - 63.5
    ball = (np.linalg.norm(middle, axis=0) < 50).astype(np.float32)
    if shape[0] != 160:
        extent = np.array(shape) * zooms
        ball = (np.linalg.norm(middle.T * extent / 128, axis=-1).T < 60).astype(np.float32)
    assert surface_ratio(Brain(ball, 0.0, False), volume) == pytest.approx(1.0, abs=0.04)


def test_a_ragged_brain_has_more_surface_than_a_smooth_one() -> None:
    volume = conform(template_brain())
    inside = np.kron(np.random.default_rng(0).random((16, 16, 16)) > 0.5, np.ones((8, 8, 8)))
    ragged = surface_ratio(Brain(inside.astype(np.float32), 0.0, False), volume)
    assert ragged > 2


def test_the_upright_box_undoes_the_turn_and_holds_the_brain() -> None:
    turn = np.array([[1, 0, 0, 5.0], [0, 0.6, -0.8, -7], [0, 0.8, 0.6, 9], [0, 0, 0, 1]])
    scaled, points = turn @ np.diag([1.1, 1.1, 1.1, 1.0]), load_template().brain
    box = upright_box(Alignment(scaled, 0.2), load_template())
    assert np.allclose(box[:3, :3] / np.linalg.norm(box[:3, :3], axis=0), turn[:3, :3])
    inside = (points @ scaled[:3, :3].T + scaled[:3, 3] - box[:3, 3]) @ np.linalg.inv(box[:3, :3]).T
    # A tenth of the brain's size is left on each side: 0.1 of 1.2 parts.
    assert np.allclose(inside.min(0), CELLS / 12 - 0.5, atol=0.1)
    assert np.allclose(inside.max(0), CELLS * 11 / 12 - 0.5, atol=0.1)


def tilted() -> Matrix:
    """The head's world turned by 37 degrees about left-right."""
    return np.array([[1, 0, 0, 0.0], [0, 0.8, -0.6, 12], [0, 0.6, 0.8, -9], [0, 0, 0, 1]])


def test_what_the_network_marks_comes_back_to_its_place() -> None:
    volume = conform(Volume(head().voxels, tilted() @ head().affine))
    found, seen = Alignment(tilted(), 0.2), []

    def front_half(cells: Floats) -> Floats:
        seen.append(cells.copy())
        cells[...] = 0
        cells[20:172, 96:172, 20:172] = 1  # of the box along right, anterior, superior
        return cells

    brain = strip_again(volume, found, load_template(), front_half)
    assert seen[0].shape == (CELLS,) * 3
    assert abs(float(seen[0].mean()) - 0.449) < 0.01  # standardised as in training
    assert brain.inside.shape == (LATTICE,) * 3
    to_template = np.linalg.inv(tilted()) @ volume.affine @ np.linalg.inv(brain.from_voxel(volume))
    marked = np.argwhere(brain.inside > 0.5) @ to_template[:3, :3].T + to_template[:3, 3]
    points = load_template().brain
    middle = (points[:, 1].min() + points[:, 1].max()) / 2
    assert marked[:, 1].min() == pytest.approx(middle, abs=3)
    assert abs(marked[:, 0].mean() - (points[:, 0].min() + points[:, 0].max()) / 2) < 1.5


def test_a_network_that_sees_nothing_finds_no_head() -> None:
    volume = conform(head())
    with pytest.raises(NotAHead):
        strip_again(volume, Alignment(np.eye(4), 0.2), load_template(), np.zeros_like)


@pytest.fixture(scope="module")
def clipped() -> tuple[Volume, pipeline.Found]:
    """The synthetic head, which lies in template space, with a first brain that lost its front."""
    volume, known = conform(head()), template_brain()
    ratio = np.array(volume.shape) / SIZE
    cell_to_world = volume.affine @ np.diag([*ratio, 1.0])
    cell_to_world[:3, 3] += volume.affine[:3, :3] @ (ratio / 2 - 0.5)
    mask = (known.voxels > 0).astype(np.float32)
    mask[:, int((30 - known.affine[1, 3]) / known.affine[1, 1]) :] = 0
    inside = redraw(strided(mask), (np.linalg.inv(known.affine) @ cell_to_world)[:3], SIZE, 0.0)
    brain = Brain(inside, float(mask.sum()) / 1000, False)
    return volume, (brain, coarsen(volume, brain), Alignment(np.eye(4), 0.3))


def test_the_second_network_mends_a_clipped_brain(clipped: tuple[Volume, pipeline.Found]) -> None:
    volume, found = clipped
    template = load_template()
    assert overlap(volume, found[0], found[2], template) < BELOW
    again = pipeline.look_again(volume, found, template)
    assert again is not None
    assert overlap(volume, again[0], again[2], template) > 0.9
    assert again[0].millilitres > 1.1 * found[0].millilitres


def test_a_worse_second_brain_is_left(
    clipped: tuple[Volume, pipeline.Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, found = clipped
    ours = iter([0.93, HELD, 0.93 - LOSS - 0.001])  # the first brain, its alignment again, the second brain
    monkeypatch.setattr(pipeline, "overlap", lambda *_: next(ours))
    monkeypatch.setattr(pipeline, "fine_network", lambda cells: np.clip(cells, 0, 1))
    assert pipeline.look_again(volume, found, load_template()) is None
    assert next(ours, None) is None


def test_a_stripped_brain_and_a_phantom_are_not_looked_at_again(
    clipped: tuple[Volume, pipeline.Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, (brain, coarse, alignment) = clipped
    monkeypatch.setattr(pipeline, "fine_network", None)  # must not be called
    stripped = replace(brain, stripped_before=True)
    assert pipeline.look_again(volume, (stripped, coarse, alignment), load_template()) is None
    far = Alignment(np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * 300, 0.9)
    assert pipeline.look_again(volume, (brain, coarse, far), load_template()) is None
