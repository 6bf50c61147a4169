"""Each step alone, on numbers whose answer is known."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from contracts.errors import NotAHead
from preprocessing_service.brain_extraction.components import largest_piece
from preprocessing_service.coarse import Picture, blurred, coarsen, halved
from preprocessing_service.polynomial import basis
from preprocessing_service.sampling import OUTSIDE, average, pick, redraw, sample, strided
from preprocessing_service.steps.bias import Tissues, mixture
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.normalise import TRAINING_LEVELS, normalise
from preprocessing_service.steps.quality import noise
from preprocessing_service.steps.register import register
from preprocessing_service.steps.rules import RULES, judge
from preprocessing_service.steps.strip import Brain, standardised, tails
from preprocessing_service.template import load_template
from preprocessing_service.volume import Volume
from tests.support.volumes import small, template_brain

ORDERS = list(product(permutations(range(3)), product((1, -1), repeat=3)))


@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_conform_keeps_every_voxel_in_place(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    voxels = small().voxels.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for axis, stored in enumerate(order):
        turn[stored, axis] = signs[axis]
        turn[stored, 3] = small().shape[stored] - 1 if signs[axis] < 0 else 0
    seen = conform(Volume(voxels, small().affine @ turn))
    wanted = conform(small())
    assert np.array_equal(seen.voxels, wanted.voxels)
    assert np.allclose(seen.affine, wanted.affine)
    assert (np.diag(seen.affine)[:3] > 0).all()


@pytest.mark.parametrize(("order", "signs"), ORDERS[::5])
def test_strided_reads_are_the_views(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    view = small().voxels.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    cells = [((np.arange(32) + 0.5) * n / 32).astype(int) for n in view.shape]
    assert np.array_equal(pick(strided(view), 32, (2, 1)), 2 * view[np.ix_(*cells)] + 1)
    blocks = view[:4, 2:8, 3:9].astype(float).reshape(2, 2, 3, 2, 2, 3).mean((1, 3, 5))
    assert np.allclose(average(view, (2, 2, 3), (0, 1, 1), (2, 3, 2)), blocks)


def test_sample_is_linear_inside_and_says_outside() -> None:
    grid = np.indices((5, 6, 7)).astype(np.float32)
    plane = 2 * grid[0] - 3 * grid[1] + grid[2]
    points = np.array([[0, 0, 0], [4, 5, 6], [1.25, 3.5, 2.75], [-0.1, 0, 0], [0, 5.1, 0]], np.float32)
    seen = sample(plane, np.eye(4)[:3], points)
    assert np.allclose(seen[:3], [0, -1, 2.5 - 10.5 + 2.75])
    assert (seen[3:] == OUTSIDE).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.3, 0.7))
def test_largest_piece_is_scipys(seed: int, share: float) -> None:
    rough = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(20, 24, 18)), 1.2)
    mask = rough > np.quantile(rough, share)
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    if np.count_nonzero(sizes == sizes.max()) == 1:
        wanted = ndimage.binary_fill_holes(labels == sizes.argmax() + 1)
        assert np.array_equal(largest_piece(mask), wanted)


def test_standardised_ignores_scale_and_offset() -> None:
    cells = np.random.default_rng(0).gamma(2, 50, (32, 32, 32)).astype(np.float32)
    other = 3 * cells + 700
    assert np.allclose(standardised(cells, tails(cells)), standardised(other, tails(other)), atol=1e-3)
    with pytest.raises(NotAHead):
        tails(np.zeros((32, 32, 32), np.float32))


def test_halving_and_blurring_keep_a_slope_in_place() -> None:
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None], (20, 20, 20))
    for changed in (halved(Picture(ramp.copy(), np.eye(4))), blurred(Picture(ramp.copy(), np.eye(4)), 2.0)):
        middle = np.array(changed.voxels.shape) // 2
        assert np.isclose(changed.voxels[tuple(middle)], (changed.affine @ [*middle, 1])[0], atol=1e-3)


def everything(volume: Volume) -> Brain:
    inside = (pick(strided(volume.voxels), 128, (1, 0)) > 0).astype(np.float32)
    return Brain(inside, 1800.0, True)


@pytest.mark.parametrize("seed", range(4))
def test_known_affine_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.deg2rad(rng.uniform(-35, 35, 3))
    turn = np.eye(4)
    for axis, angle in enumerate(angles):
        p, q = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(4)
        one[[p, q], [p, q]] = np.cos(angle)
        one[p, q], one[q, p] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    turn[:3, :3] = turn[:3, :3] @ (np.diag(rng.uniform(0.85, 1.2, 3)) + rng.uniform(-0.05, 0.05, (3, 3)))
    turn[:3, 3] = rng.uniform(-60, 60, 3)
    brain = template_brain()
    moved = Volume(brain.voxels, turn @ brain.affine)
    found = register(coarsen(moved, everything(moved)), load_template())
    points = load_template().brain
    error = np.linalg.norm(points @ (found.matrix - turn)[:3, :3].T + (found.matrix - turn)[:3, 3], axis=1)
    assert error.mean() < 0.35
    assert error.max() < 1.0


def test_mixture_finds_tissues_and_field() -> None:
    priors, rng = load_template().priors, np.random.default_rng(0)
    tissue = np.array([rng.choice(3, p=shares / shares.sum()) for shares in priors.shares.astype(float)])
    field = np.zeros(priors.basis.shape[1], np.float32)
    field[1:4] = (0.15, -0.1, 0.08)
    means = np.array([-0.6, 0.0, 0.2])
    logs = means[tissue] + priors.basis @ field + rng.normal(0, 0.05, len(tissue))
    found = mixture(logs.astype(np.float32), priors.shares, priors.basis)
    left = priors.basis @ (found.field - field)
    assert left.std() < 0.01
    assert np.allclose(np.diff(found.means), np.diff(means), atol=0.02)


def test_normalise_lands_tissues_on_the_training_levels() -> None:
    levels = np.array([0.4, 0.9, 1.2])
    tissues = Tissues(np.log(levels), np.full(3, 0.1), np.full(3, 1 / 3), np.zeros(20, np.float32))
    slices = np.zeros((32, 208, 176), np.float32)
    slices[0, 0, :3], slices[0, 1, 0] = levels * 500, 1e6
    out = normalise(slices, tissues, 500.0)
    assert out[0, 0, :3].tolist() == list(TRAINING_LEVELS)
    assert out[0, 1, 0] == 255
    assert not out[1:].any()


@given(scale=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_normalise_is_monotone_and_ignores_units(scale: float) -> None:
    tissues = Tissues(np.array([-0.5, 0, 0.2]), np.full(3, 0.1), np.full(3, 1 / 3), np.zeros(20, np.float32))
    slices = np.zeros((32, 208, 176), np.float32)
    slices[3] = np.linspace(0.01, 2, 208 * 176).reshape(208, 176)
    out = normalise(slices * np.float32(scale), tissues, scale)
    assert (np.diff(out[3].ravel().astype(int)) >= 0).all()
    assert np.abs(out.astype(int) - normalise(slices, tissues, 1.0)).max() <= 1


def test_noise_is_measured() -> None:
    rng = np.random.default_rng(0)
    clean = np.full((32, 208, 176), 200.0)
    for spread in (4, 12):
        measured = noise(np.clip(clean + rng.normal(0, spread, clean.shape), 0, 255).astype(np.uint8))
        assert np.isclose(measured * (TRAINING_LEVELS[2] - TRAINING_LEVELS[1]), spread, rtol=0.15)


def test_polynomial_is_bounded_far_away() -> None:
    near, far = basis(np.array([[150.0, 0, 0]], np.float32)), basis(np.array([[900.0, 0, 0]], np.float32))
    assert np.allclose(near, far)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.measure)
def test_every_rule_refuses_beyond_its_ends_and_for_nan(rule: object) -> None:
    good = {each.measure: (each.least + each.most) / 2 for each in RULES}
    judge(good)
    for value in (rule.least - 0.01, rule.most + 0.01, float("nan")):  # type: ignore[attr-defined]
        with pytest.raises(rule.refusal) as caught:  # type: ignore[attr-defined]
            judge({**good, rule.measure: value})  # type: ignore[attr-defined]
        assert rule.measure in caught.value.figures  # type: ignore[attr-defined]


def test_redraw_is_linear_inside_and_dark_outside() -> None:
    ramp = np.indices((6, 7, 8)).sum(0).astype(np.int16)
    shifted = np.array([[0.5, 0, 0, 1.0], [0, 0.5, 0, 1.0], [0, 0, 0.5, 1.0]])
    seen = redraw(strided(ramp[::-1]), shifted, 16, -3.0)
    assert seen[2, 4, 6] == (5 - 2) + 3 + 4
    assert seen[15, 0, 0] == -3.0
