"""Step 8: figures that tell a T1 head from everything else, whatever its age has done to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from imaging.grid import GRID_TO_MNI
from preprocessing_service.coarse import CoarseHead, halved
from preprocessing_service.sampling import sample
from preprocessing_service.steps.bias import Tissues
from preprocessing_service.steps.contrast import contrast
from preprocessing_service.steps.normalise import TRAINING_LEVELS
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.rules import BRAINLIKE, LEAST_OVERLAP, LEAST_RATIO, SURE_RATIO
from preprocessing_service.steps.second_extraction import surface_ratio
from preprocessing_service.steps.strip import Brain
from preprocessing_service.template import Template
from preprocessing_service.volume import Volume

PROBES = 48
"""Places along each axis at which neighbouring voxels are compared."""

MOST_LABELS = 60
"""Equally frequent values a label map has at most; images of eight bits have 65 and more."""


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
    misfit = BRAINLIKE <= fit < LEAST_OVERLAP
    seen = contrast(head.coarse, head.alignment, head.tissues, template.regions)
    found = {
        "brain_ml": head.brain.millilitres,
        "same_neighbours": same_neighbours(head.volume, head.brain),
        "rim_of_misfit": rim_to_core(halved(head.coarse.brain).voxels) if misfit else 0.0,
        "overlap": fit,
        "mirror_overlap": mirror_overlap(head, template),
        "fluid_white_ratio": seen.fluid_white_ratio,
        "ventricle_white_ratio": seen.ventricle_white_ratio,
        "white_grey_ratio": seen.white_grey_ratio,
        "white_dark_ratio": seen.white_dark_ratio,
        "contrast_uncertain": float(LEAST_RATIO <= seen.white_grey_ratio < SURE_RATIO),
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


def mirror_overlap(head: Prepared, template: Template) -> float:
    """Dice of the brain that was found and its mirror image in the laid-on template's middle plane."""
    to_cell = head.brain.from_voxel(head.volume) @ _to_voxel(head)
    one, other = (
        sample(head.brain.inside, to_cell, (template.brain * side).astype(np.float32)) > 0.5
        for side in (np.array([1, 1, 1]), np.array([-1, 1, 1]))
    )
    return 2 * float(np.mean(one & other)) / max(float(np.mean(one)) + float(np.mean(other)), 1e-9)


def same_neighbours(volume: Volume, brain: Brain) -> float:
    """Share of the brain's voxels that equal their next one, along the axis where that is least.

    Label maps hold few values, in pieces. An image may have few grey values, but noise changes them from
    voxel to voxel; of one with many values (more than MOST_LABELS) the share is not taken, and 0 returned.
    """
    rng = np.random.default_rng(0)  # regular steps would fall in with voxels that were doubled
    places = [np.sort(rng.integers(0, max(n - 1, 1), PROBES)) for n in volume.shape]
    cells = [
        ((at + 0.5) * brain.inside.shape[0] / n).astype(int)
        for at, n in zip(places, volume.shape, strict=True)
    ]
    inside = brain.inside[np.ix_(*cells)] > 0.5
    values = volume.voxels[np.ix_(*places)]
    _, counts = np.unique(values[inside], return_counts=True)
    if not counts.size or _effective(counts) > MOST_LABELS:
        return 0.0
    shares = []
    for axis in range(3):
        moved = [at + (1 if axis == n else 0) for n, at in enumerate(places)]
        shares.append(np.mean((volume.voxels[np.ix_(*moved)] == values)[inside]))
    return float(min(shares))


def _effective(counts: npt.NDArray[np.int64]) -> float:
    """How many equally frequent values would be as hard to guess."""
    shares = counts / counts.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _covered(head: Prepared, template: Template) -> float:
    slice_index = (template.brain @ np.linalg.inv(GRID_TO_MNI)[2, :3]) + np.linalg.inv(GRID_TO_MNI)[2, 3]
    slab = template.brain[(slice_index >= 0) & (slice_index <= 31)]
    index = slab @ _to_voxel(head)[:3, :3].T + _to_voxel(head)[:3, 3]
    return float(np.mean(((index >= -0.5) & (index <= np.array(head.volume.shape) - 0.5)).all(1)))


def _to_voxel(head: Prepared) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.inv(head.volume.affine) @ head.alignment.matrix)
