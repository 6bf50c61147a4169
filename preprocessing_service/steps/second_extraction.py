"""Step 4b, only when the first brain looks wrong: the second network, on the head turned upright.

deepbet's second network sees the brain's surroundings enlarged. Both networks saw upright heads in training;
one pitched by 40 degrees loses cerebellum or gains neck. The first alignment is good enough to turn it back,
and to tell where to look.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preprocessing_service.sampling import average, pick, redraw, strided
from preprocessing_service.steps.register import Alignment
from preprocessing_service.steps.strip import HALF, SIZE, Brain, Network, closed, standardised, tails
from preprocessing_service.template import Template
from preprocessing_service.volume import Matrix, Volume

Floats = npt.NDArray[np.float32]
BELOW = 0.94
"""Overlap of brain and template under which the second network is asked. Heads that lie well have 0.945 to
0.96; it costs half a second, and the worst of what it corrects had lost 7 % of the brain."""

SURFACES = (1.115, 1.18)
"""Surface of the brain over that of a ball of its volume beyond which the second network is asked. Upright
heads have 1.125 to 1.146; what the first one finds in a tilted or small head may be too smooth (1.10), a
brain that lost parts or took up others is ragged (1.22)."""

LOSS = 0.01
"""Of overlap that the second brain may lie below the first one and still be kept: it was the nearer one to
deepbet's wherever this bound decided, and overlap does not tell apart two brains that both fit."""

CELLS = 192
"""Edge of what the second network sees; with 160, at half the time, it is worse than the first."""

LATTICE = 160
"""Edge of the lattice that the answer is kept on."""

GRAIN = 4.0
"""mm; finer, the network's own unevenness counts, and a head of 3 mm slices is not like one of 1 mm."""

MARGIN = 0.1
"""Of the brain's size, on each side: what it saw around brains in training."""


def doubtful(fit: float, surface: float) -> bool:
    """Whether a brain of this overlap and surface should be looked at by the second network."""
    return fit < BELOW or not SURFACES[0] <= surface <= SURFACES[1]


def surface_ratio(brain: Brain, volume: Volume) -> float:
    """Surface of the brain over that of a ball of its volume; 1.14 for a brain at GRAIN mm.

    The surface is the total change of the mask averaged in blocks of about GRAIN.
    """
    edges = volume.zooms * volume.shape / brain.inside.shape
    # A field of 256 mm over LATTICE gives 2.5 exactly: the last digit of a header may not decide.
    blocks = np.maximum(1, np.floor(GRAIN / edges + 0.499)).astype(int)
    rim = [(2 * block, 3 * block) for block in blocks.tolist()]
    mask = np.pad(brain.inside[brain.box] > HALF, rim)
    a, b, c = (int(n) for n in blocks)
    count = mask.shape[0] // a, mask.shape[1] // b, mask.shape[2] // c
    share = average(mask, (a, b, c), (0, 0, 0), count)
    sizes = edges * blocks
    slopes = np.gradient(share, *sizes.tolist())
    surface = float(np.linalg.norm(slopes, axis=0).sum() * sizes.prod())
    size = float(share.sum() * sizes.prod())
    return float(surface / (36 * np.pi * size**2) ** (1 / 3))


def strip_again(volume: Volume, found: Alignment, template: Template, network: Network) -> Brain:
    """The brain as the second network sees it, on LATTICE cells a side over the field of view."""
    ends = tails(pick(strided(volume.voxels), SIZE, (volume.slope, volume.intercept)))
    box = upright_box(found, template)
    ratio = np.array(volume.shape) / LATTICE
    cell_to_voxel = np.diag([*ratio, 1.0])
    cell_to_voxel[:3, 3] = ratio / 2 - 0.5
    back: Matrix = np.linalg.inv(box) @ volume.affine @ cell_to_voxel
    cell = abs(float(np.linalg.det(volume.affine[:3, :3]))) * float(np.prod(ratio)) / 1000
    # No name for what the network sees and says: it is larger than all the rest, and gone when read.
    inside = redraw(strided(network(_seen(volume, box, ends))), back[:3], LATTICE, 0.0)
    return closed(inside, cell)


def _seen(volume: Volume, box: Matrix, ends: tuple[float, float]) -> Floats:
    to_voxel: Matrix = np.linalg.inv(volume.affine) @ box
    dark = (ends[0] - volume.intercept) / volume.slope  # what lies outside the field of view
    seen = redraw(strided(volume.voxels), to_voxel[:3], CELLS, dark)
    seen *= np.float32(volume.slope)
    seen += np.float32(volume.intercept)
    return standardised(seen, ends, out=seen)


def upright_box(found: Alignment, template: Template) -> Matrix:
    """(4, 4): index in the upright box -> mm in the head's world; it holds the aligned template."""
    left, _, right = np.linalg.svd(found.matrix[:3, :3])
    turn = left @ right
    brain = (template.brain @ found.matrix[:3, :3].T + found.matrix[:3, 3]) @ turn
    low, high = brain.min(0), brain.max(0)
    half = (high - low) * (0.5 + MARGIN)
    spacing = 2 * half / CELLS
    matrix = np.eye(4)
    matrix[:3, :3] = turn * spacing
    matrix[:3, 3] = turn @ ((low + high) / 2 - half + spacing / 2)
    return matrix
