"""The gate does not measure the disease: a head stays accepted whatever its ventricles become."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from bench.atrophy import push_for, warped
from bench.changed_heads import Known, atrophied, coarser, known, painted, remapped
from bench.preprocess_measures import examine
from contracts.errors import NotT1w, RegistrationFailed
from preprocessing_service import pipeline
from preprocessing_service.coarse import coarsen
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.outline import register_outline
from preprocessing_service.steps.quality import measure, mirror_overlap, overlap
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.rules import judge
from preprocessing_service.template import load_template
from preprocessing_service.volume import Volume
from tests.support.volumes import head


@cache
def whole() -> Known:
    """The synthetic head at 2 mm, its ventricles and sulci known."""
    return known(examine(coarser(conform(head()), (2.0, 2.0, 2.0))))


def figures(volume: Volume) -> dict[str, float]:
    return measure(examine(volume), load_template())


CHANGES: dict[str, Callable[[], Volume]] = {
    "ventricles twice as large": lambda: atrophied(whole(), ventricles=2.0, sulci=1.3),
    "ventricles four times as large": lambda: atrophied(whole(), ventricles=4.0, sulci=1.5),
    "37 ml painted into the ventricles": lambda: painted(whole(), 37),
    "120 ml painted into the ventricles": lambda: painted(whole(), 120),
    "200 ml painted, slices of 6 mm": lambda: coarser(painted(whole(), 200), (2, 2, 6)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_atrophy_is_never_refused(change: Callable[[], Volume]) -> None:
    found = figures(change())
    judge(found)
    assert not found["contrast_uncertain"]
    assert found["overlap"] > 0.9


@pytest.mark.parametrize("contrast", ["FLAIR", "T2", "PD", "inverted"])
def test_another_contrast_is_always_refused(contrast: str) -> None:
    with pytest.raises(NotT1w) as caught:
        judge(figures(remapped(whole(), contrast, noise=0.03)))
    if contrast == "FLAIR":
        assert "FLAIR" in caught.value.detail


def test_the_outer_surface_finds_a_head_that_intensities_lose() -> None:
    plain, template = examine(whole().volume), load_template()
    emptied = np.where(whole().inside, whole().levels[1], whole().volume.voxels).astype(np.float32)
    flat = examine(Volume(emptied, whole().volume.affine))  # nothing inside tells where it lies
    found = register_outline(coarsen(flat.volume, flat.brain), template)
    step = (found.matrix - plain.alignment.matrix)[:3]
    apart = np.linalg.norm(template.brain @ step[:, :3].T + step[:, 3], axis=1)
    assert apart.mean() < 4.0
    assert mirror_overlap(plain, template) > 0.97


def collapsed(*_: object) -> Alignment:
    return Alignment(np.diag([0.3, 0.3, 0.3, 1.0]), 0.2)


def diverged(*_: object) -> Alignment:
    raise RegistrationFailed("no convergence")


@pytest.mark.parametrize("register", [collapsed, diverged])
def test_a_lost_alignment_is_replaced(
    register: Callable[..., Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, template = examine(whole().volume), load_template()
    monkeypatch.setattr(pipeline, "register", register)
    found = pipeline.align(plain.volume, (plain.brain, plain.coarse), template)
    assert overlap(plain.volume, plain.brain, found, template) > 0.93


@pytest.mark.parametrize("factor", [1.3, 2.5, 4.0])
def test_the_warp_makes_a_mask_as_large_as_asked(factor: float) -> None:
    zooms = np.array([1.5, 1.0, 2.0])
    middle = (np.indices((60, 80, 50)).T - (30, 40, 25)) * zooms
    ball = (np.linalg.norm(middle, axis=-1) < 11).T
    labels = np.where(ball, 3, 1).astype(np.int16)
    push = push_for(ball, zooms, factor=factor, reach=14.0)
    grown = warped(labels, [push], zooms)
    assert set(np.unique(grown)) == {1.0, 3.0}
    assert (grown == 3).sum() == pytest.approx(factor * ball.sum(), rel=0.1)
    assert ((grown == 3) | ~ball).all()  # it only grew
    assert (grown[:2] == 1).all()
