"""The gate's measures on drawings whose contrast is known: order of tissues, fluid, label maps, halves."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from contracts.errors import NotT1w
from preprocessing_service.assets import template_file
from preprocessing_service.coarse import CoarseHead, Picture
from preprocessing_service.regions import NAMES, PAIRS, VENTRICLES
from preprocessing_service.steps.bias import Tissues
from preprocessing_service.steps.contrast import Contrast, contrast, darkest_neighbour
from preprocessing_service.steps.quality import same_neighbours
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.rules import (
    BRIGHT_VENTRICLES,
    LEAST_RATIO,
    MOST_FLUID,
    MOST_RATIO,
    MOST_VENTRICLES,
    RULES,
    judge,
)
from preprocessing_service.steps.strip import Brain
from preprocessing_service.template import load_template
from preprocessing_service.volume import Volume

Floats = npt.NDArray[np.float32]
T1 = {"fluid": 0.3, "grey": 0.7, "white": 1.0}


@cache
def tissues() -> tuple[Floats, Floats, Floats, npt.NDArray[np.float64]]:
    """Shares of fluid, grey and white matter of the template at 2 mm, and the affine."""
    whole: list[Any] = [nibabel.load(template_file(name)) for name in ("t1", "gm", "wm")]
    t1, grey, white = (np.asanyarray(image.dataobj)[::2, ::2, ::2].astype(np.float32) for image in whole)
    fluid = np.clip((t1 > 0) - (grey + white) / 255, 0, 1).astype(np.float32)
    return fluid, grey / 255, white / 255, whole[0].affine @ np.diag([2.0, 2, 2, 1])


def measured(levels: dict[str, float], *, noise: float = 0.0, spoil: Floats | None = None) -> Contrast:
    fluid, grey, white, affine = tissues()
    brain = fluid * levels["fluid"] + grey * levels["grey"] + white * levels["white"]
    brain = brain + noise * (fluid + grey + white) * np.random.default_rng(0).normal(size=brain.shape)
    brain = (brain if spoil is None else np.where(spoil, levels["fluid"], brain)).astype(np.float32)
    head = CoarseHead(Picture(brain, affine), Picture(brain, affine), 1.0)
    even = Tissues(np.zeros(3), np.ones(3), np.full(3, 1 / 3), np.zeros(20, np.float32))
    return contrast(head, Alignment(np.eye(4), 0.0), even, load_template().regions)


def test_every_region_has_points_and_pairs_name_white_first() -> None:
    counts = np.bincount(load_template().regions.numbers, minlength=VENTRICLES + 1)
    assert (counts[1:] >= 10).all()
    for white, grey in PAIRS:
        assert NAMES[white - 1].startswith(
            ("white", "capsules", "cerebellar white", "pons", "temporal white")
        )
        assert NAMES[grey - 1].startswith(("cortex", "insula", "cerebellar cortex", "amygdala"))


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("grey", [0.6, 0.7, 0.85])
def test_the_order_of_t1_is_seen(grey: float, noise: float) -> None:
    seen = measured(T1 | {"grey": grey}, noise=noise)
    assert seen.white_grey_ratio > 1 + 0.5 * (1 / grey - 1)
    assert seen.white_grey_ratio > LEAST_RATIO
    assert seen.fluid_white_ratio < MOST_FLUID
    assert seen.white_dark_ratio < MOST_RATIO


@pytest.mark.parametrize("grey", [1.0, 1.1, 1.3])
def test_dark_fluid_alone_is_no_t1(grey: float) -> None:
    seen = measured(T1 | {"grey": grey})  # FLAIR, diffusion
    assert seen.fluid_white_ratio < MOST_FLUID
    assert seen.white_grey_ratio < LEAST_RATIO


@pytest.mark.parametrize(("fluid", "grey"), [(3.0, 1.4), (1.0, 1.2), (1.8, 1.25), (0.97, 1.03)])
def test_bright_fluid_is_no_t1(fluid: float, grey: float) -> None:
    seen = measured({"fluid": fluid, "grey": grey, "white": 1.0})  # T2, proton density, echo-planar, CT
    assert seen.fluid_white_ratio > MOST_FLUID
    assert seen.ventricle_white_ratio > MOST_VENTRICLES


def test_a_map_of_anisotropy_is_no_t1() -> None:
    seen = measured({"fluid": 0.05, "grey": 0.25, "white": 1.0})
    assert seen.white_dark_ratio > MOST_RATIO


def test_wide_ventricles_and_sulci_change_no_verdict() -> None:
    fluid, *_ = tissues()
    i, j, k = (
        np.arange(n).reshape([-1 if axis == m else 1 for m in range(3)]) for axis, n in enumerate(fluid.shape)
    )
    near = ((i - fluid.shape[0] / 2) / 14) ** 2 + ((j - 58) / 24) ** 2 + ((k - 42) / 11) ** 2 < 1
    plain, wide = measured(T1), measured(T1, spoil=near | (fluid > 0.2))
    assert near.sum() * 8 / 1000 > 100  # ml
    assert wide.white_grey_ratio == pytest.approx(plain.white_grey_ratio, abs=0.08)
    assert wide.fluid_white_ratio <= plain.fluid_white_ratio + 0.05
    assert wide.ventricle_white_ratio <= plain.ventricle_white_ratio + 0.05


def test_darkest_neighbour_looks_at_six() -> None:
    voxels = np.full((5, 5, 5), 4.0, np.float32)
    voxels[2, 2, 2] = 1
    least = darkest_neighbour(voxels)
    assert np.count_nonzero(least == 1) == 7
    assert least[1, 1, 2] == 4


def everywhere(volume: Volume) -> float:
    return same_neighbours(volume, Brain(np.ones((16, 16, 16), np.float32), 1000.0, False))


def test_label_maps_have_equal_neighbours_and_images_have_not() -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (12, 12, 12)), np.ones((6, 6, 6))).astype(np.int16)
    image = rng.normal(90, 12, (72, 72, 72)).astype(np.uint8)
    doubled = np.kron(rng.normal(90, 12, (36, 36, 36)).astype(np.uint8), np.ones((2, 2, 2), np.uint8))
    assert everywhere(Volume(labels, np.eye(4))) > 0.8
    assert everywhere(Volume(image, np.eye(4))) < 0.1
    assert everywhere(Volume(doubled, np.eye(4))) < 0.6
    assert everywhere(Volume(labels * 1.0 + rng.normal(0, 0.1, labels.shape), np.eye(4))) == 0.0


GOOD = {rule.measure: (rule.least + rule.most) / 2 for rule in RULES} | {"white_grey_ratio": 1.3}


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"white_grey_ratio": 0.98}, "FLAIR"),
        ({"ventricle_white_ratio": BRIGHT_VENTRICLES + 0.5}, "T2-weighted"),
        ({"ventricle_white_ratio": MOST_VENTRICLES + 0.1}, "ventricles are not dark"),
        ({"fluid_white_ratio": MOST_FLUID + 0.1}, "proton density"),
        ({"same_neighbours": 0.9}, "label map"),
        ({"white_dark_ratio": 4.0}, "map, such as anisotropy"),
        ({"rim_of_misfit": 0.95}, "T2-weighted, proton density"),
    ],
)
def test_a_refusal_says_what_was_seen_and_what_to_send(figures: dict[str, float], words: str) -> None:
    judge(GOOD)
    with pytest.raises(NotT1w) as caught:
        judge(GOOD | figures)
    assert words in caught.value.detail
    assert "is accepted" in caught.value.detail
    assert caught.value.detail.endswith("Send the T1-weighted (MPRAGE/SPGR/BRAVO) series.")


def test_every_rule_says_what_to_send() -> None:
    assert all(rule.advice.startswith("Send ") for rule in RULES)
    assert len({replace(rule, advice="").meaning for rule in RULES}) == len(RULES)
