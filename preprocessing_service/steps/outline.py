"""Step 4c, only when the first alignment lost the brain: the template laid on the brain's outer surface.

Wide ventricles pull an alignment by intensities away: a template shrunk to where the head is even explains
more of the variance. The outer surface hardly changes with atrophy, so it decides where intensities lost the
brain; these may then still move the template a little.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from scipy import ndimage

from contracts.errors import RegistrationFailed
from preprocessing_service.coarse import CoarseHead, Picture, blurred, halved
from preprocessing_service.steps.register import (
    KEPT,
    ROUNDS,
    STARTS,
    Alignment,
    Solver,
    about,
    converging,
    first_guess,
    rotation,
)
from preprocessing_service.template import Template
from preprocessing_service.volume import Matrix

HELD = 0.85
"""Overlap of brain and template from which the first alignment has held the brain; good heads have 0.9."""

FREE = 5.0
"""mm, mean over the brain, that the intensities may move the template away from the surface's alignment."""


def register_outline(head: CoarseHead, template: Template) -> Alignment:
    """The affine that lays the template's surface on the brain's, refined by intensities where they agree."""
    small = halved(head.brain)
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(small.voxels > 0, 2), iterations=2))
    shape = Picture(filled[2:-2, 2:-2, 2:-2].astype(np.float32), small.affine)
    with converging():
        outer = found = _by_shape(shape, template)
    with suppress(RegistrationFailed), converging():
        for level, picture, rounds in zip(template.levels[1:], (small, head.whole), ROUNDS[2:], strict=True):
            solver = Solver(level, template.centre, robust=True)
            found = solver.run(blurred(picture, level.blur), found.matrix, rounds)
    return found if _apart(found.matrix, outer.matrix, template) < FREE else outer


def _by_shape(shape: Picture, template: Template) -> Alignment:
    level = template.outline
    seen, first = blurred(shape, level.blur), first_guess(shape, template)
    rough = Solver(level, template.centre, similarity=True)
    tried = [rough.run(seen, first @ about(template.centre, rotation(start)), ROUNDS[0]) for start in STARTS]
    tried.sort(key=lambda alignment: alignment.residual)
    fine = Solver(level, template.centre)
    return min(
        (fine.run(seen, alignment.matrix, ROUNDS[1]) for alignment in tried[:KEPT]),
        key=lambda alignment: alignment.residual,
    )


def _apart(one: Matrix, other: Matrix, template: Template) -> float:
    step = (one - other)[:3]
    return float(np.linalg.norm(template.brain @ step[:, :3].T + step[:, 3], axis=1).mean())
