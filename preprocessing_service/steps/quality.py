"""Step 8: figures that tell a T1 head from everything else, and the thresholds at which we refuse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from contracts.errors import Coverage, Noise, NotAHead, NotT1w, QualityRefused, RegistrationFailed
from contracts.grid import GRID_TO_MNI
from preprocessing_service.coarse import CoarseHead, halved
from preprocessing_service.sampling import sample
from preprocessing_service.steps.bias import Tissues
from preprocessing_service.steps.escalate import surface_ratio
from preprocessing_service.steps.normalise import TRAINING_LEVELS
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.strip import Brain
from preprocessing_service.template import Template
from preprocessing_service.volume import Volume


@dataclass(frozen=True)
class Rule:
    """One measure, the range it must lie in, and the refusal when it does not."""

    measure: str
    least: float
    most: float
    refusal: type[QualityRefused]
    meaning: str


LEAST_OVERLAP, BRAINLIKE = 0.75, 0.68
"""Brains of another contrast overlap with the template by 0.65 to 0.75, spheres and noise by 0.58 to 0.66."""

RULES = (
    Rule("brain_ml", 500, 4000, NotAHead, "the brain that was found has {value:.0f} ml"),
    Rule("rim_to_core", 0.0, 0.9, NotT1w, "the brain's rim is {value:.2f} times as bright as its middle"),
    Rule(
        "rim_of_misfit",
        0.0,
        0.75,
        NotT1w,
        "the template does not fit; the rim is {value:.2f} times as bright",
    ),
    Rule("overlap", LEAST_OVERLAP, 1.0, NotAHead, "what was found matches a brain's shape by {value:.2f}"),
    Rule("grey_to_csf", 0.12, 3.0, NotT1w, "grey matter over fluid, log ratio {value:.2f}"),
    Rule("white_to_grey", 0.08, 1.2, NotT1w, "white over grey matter, log ratio {value:.2f}"),
    Rule("voxel_mm3", 0.0, 30, Coverage, "a voxel holds {value:.0f} mm³, more than the slices can show"),
    Rule("slab_covered", 0.98, 1.0, Coverage, "{value:.0%} of the model's field lies in the image"),
    Rule("residual", 0.0, 0.6, RegistrationFailed, "{value:.0%} of the intensity is unlike the template"),
    Rule("size_ratio", 0.35, 2.1, RegistrationFailed, "the brain is {value:.2f} times the template's size"),
    Rule("noise", 0.0, 0.6, Noise, "noise is {value:.2f} of the contrast between grey and white matter"),
)
"""Applied in this order; the first that fails is reported.

`rim_of_misfit` is `rim_to_core` of brains that overlap too little, else 0: T2 and proton density lie
at 0.78 to 0.82, too near to some T1 to be refused for that alone, but it tells why nothing fits.
"""


@dataclass(frozen=True)
class Prepared:
    """Everything the steps found out about one head."""

    volume: Volume
    brain: Brain
    coarse: CoarseHead
    alignment: Alignment
    tissues: Tissues
    slices: npt.NDArray[np.uint8]
    escalated: bool = False


def measure(head: Prepared, template: Template) -> dict[str, float]:
    """Every figure the rules judge, and the facts about the file; pure, refuses nothing."""
    size = float(abs(np.linalg.det(head.alignment.matrix[:3, :3])))
    csf, grey, white = head.tissues.means
    fit = overlap(head.volume, head.brain, head.alignment, template)
    rim = rim_to_core(halved(head.coarse.brain).voxels)
    found = {
        "brain_ml": head.brain.millilitres,
        "rim_to_core": rim,
        "rim_of_misfit": rim if BRAINLIKE <= fit < LEAST_OVERLAP else 0.0,
        "overlap": fit,
        "surface": surface_ratio(head.brain, head.volume),
        "grey_to_csf": float(grey - csf),
        "white_to_grey": float(white - grey),
        "voxel_mm3": abs(float(np.linalg.det(head.volume.affine[:3, :3]))),
        "slab_covered": _covered(head, template),
        "residual": head.alignment.residual,
        "size_ratio": size,
        "noise": noise(head.slices),
        "stripped_before": float(head.brain.stripped_before),
        "escalated": float(head.escalated),
    }
    return {name: round(value, 4) for name, value in (*found.items(), *head.volume.facts)}


def judge(figures: dict[str, float]) -> None:
    """Raise the first rule's refusal that the figures break; a figure that is NaN breaks its rule."""
    rule = broken(figures)
    if rule is not None:
        meaning = rule.meaning.format(value=figures[rule.measure])
        raise rule.refusal(f"{meaning}; {rule.least:g} to {rule.most:g} is accepted", **figures)


def broken(figures: dict[str, float]) -> Rule | None:
    """The first rule that the figures break."""
    for rule in RULES:
        if not rule.least <= figures[rule.measure] <= rule.most:
            return rule
    return None


def noise(slices: npt.NDArray[np.uint8]) -> float:
    """Noise of the bright tissue over the grey-white contrast, from second differences (Immerkaer 1996)."""
    values = slices[::4].astype(np.float32)
    rows = values[:, :, :-2] - 2 * values[:, :, 1:-1] + values[:, :, 2:]
    cells = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    white = values[:, 1:-1, 1:-1] > (TRAINING_LEVELS[1] + TRAINING_LEVELS[2]) / 2
    if np.count_nonzero(white) < 100:
        return 9.0
    spread = 1.4826 * float(np.median(np.abs(cells[white]))) / 6
    return spread / (TRAINING_LEVELS[2] - TRAINING_LEVELS[1])


def rim_to_core(brain: npt.NDArray[np.float32]) -> float:
    """Median brightness of the outer 8 mm over that of all deeper than 16 mm, for (a, b, c) at about 4 mm.

    In T1 the rim is grey matter and fluid, the middle mostly white matter: 0.4 to 0.75. T2 comes near 1. No
    alignment is needed, which fails first for such images and would hide the reason.
    """
    inside = np.pad(brain > 0, 1)
    levels = [inside[1:-1, 1:-1, 1:-1], *(_eroded(inside, cells)[1:-1, 1:-1, 1:-1] for cells in (2, 4))]
    rim, core = brain[levels[0] & ~levels[1]], brain[levels[2]]
    if not rim.size or not core.size:
        return 0.0
    return float(np.median(rim) / max(float(np.median(core)), 1e-6))


def _eroded(mask: npt.NDArray[np.bool_], cells: int) -> npt.NDArray[np.bool_]:
    return np.asarray(ndimage.binary_erosion(mask, iterations=cells), dtype=bool)


def overlap(volume: Volume, brain: Brain, alignment: Alignment, template: Template) -> float:
    """Dice of the brain that was found and the template laid on it, the template's points standing for it."""
    to_cell = brain.from_voxel(volume) @ np.linalg.inv(volume.affine) @ alignment.matrix
    hit = float(np.mean(sample(brain.inside, to_cell, template.brain) > 0.5))
    size = float(abs(np.linalg.det(alignment.matrix[:3, :3])))
    return 2 * hit / (1 + 1000 * brain.millilitres / size / template.volume)


def _covered(head: Prepared, template: Template) -> float:
    slice_index = (template.brain @ np.linalg.inv(GRID_TO_MNI)[2, :3]) + np.linalg.inv(GRID_TO_MNI)[2, 3]
    slab = template.brain[(slice_index >= 0) & (slice_index <= 31)]
    index = slab @ _to_voxel(head)[:3, :3].T + _to_voxel(head)[:3, 3]
    return float(np.mean(((index >= -0.5) & (index <= np.array(head.volume.shape) - 0.5)).all(1)))


def _to_voxel(head: Prepared) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.inv(head.volume.affine) @ head.alignment.matrix)
