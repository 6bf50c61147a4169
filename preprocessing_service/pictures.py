"""Pictures a person can check: the brain's outline on the head, the template's on the brain, the slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from contracts.stack import SLICES
from preprocessing_service.coarse import Picture
from preprocessing_service.pieces import largest_piece
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.template import Template

Grey = npt.NDArray[np.uint8]
OUTLINE = (255, 176, 0)
"""Amber: told from grey by everybody."""

GAP = 4
"""Pixels between tiles."""

ACROSS = 8
"""Slices in one line of the sheet."""

SCALE = 2
"""Screen pixels a coarse cell."""


def slices_picture(slices: Grey) -> Image.Image:
    """The (32, 208, 176) stack as one picture, four lines of eight, lowest slice first."""
    lines = [np.hstack([*slices[at : at + ACROSS]]) for at in range(0, SLICES, ACROSS)]
    return Image.fromarray(np.vstack(lines))


def brain_picture(head: Prepared) -> Image.Image:
    """Three cuts through the unstripped head with the outline of the brain that was found."""
    return _three_cuts(head.coarse.whole, head.coarse.brain.voxels > 0)


def template_picture(head: Prepared, template: Template) -> Image.Image:
    """Three cuts through the stripped brain with the outline of the template laid on it."""
    to_voxel = np.linalg.inv(head.coarse.brain.affine) @ head.alignment.matrix
    index = template.brain @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    shape = np.array(head.coarse.brain.voxels.shape)
    covered = np.zeros(shape, bool)
    # The template's points are a few cells apart: every point stands for the cells around it.
    reach = range(-1, 2)
    for offset in np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3):
        cells = np.clip(np.rint(index + offset).astype(int), 0, shape - 1)
        covered[tuple(cells.T)] = True
    return _three_cuts(head.coarse.brain, largest_piece(covered))


def quality_sheet(head: Prepared, template: Template, figures: dict[str, float]) -> Image.Image:
    """One page a job: both outlines, the 32 slices, and the figures the gate judged."""
    tiles = [
        brain_picture(head),
        template_picture(head, template),
        slices_picture(head.slices).convert("RGB"),
    ]
    lines = [f"{name} {value:g}" for name, value in figures.items()]
    width = max(tile.width for tile in tiles)
    tops = np.cumsum([0, *(tile.height + GAP for tile in tiles)]).tolist()
    sheet = Image.new("RGB", (width, tops[-1] + 14 * (1 + len(lines) // 4)))
    for tile, top in zip(tiles, tops[:-1], strict=True):
        sheet.paste(tile, (0, top))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        place = (4 + number % 4 * width // 4, tops[-1] + 14 * (number // 4))
        draw.text(place, line, fill=(230, 230, 230))
    return sheet


def _three_cuts(picture: Picture, mask: npt.NDArray[np.bool_]) -> Image.Image:
    """Axial, coronal and sagittal through the mask's middle; voxels run along RAS, so up is flipped."""
    middle = np.argwhere(mask).mean(0).round().astype(int)
    top = float(np.percentile(picture.voxels[mask], 99)) or 1.0
    tiles = []
    for axis in (2, 1, 0):
        plane, edge = (np.take(a, middle[axis], axis=axis).T[::-1] for a in (picture.voxels, mask))
        tiles.append(_outlined(np.clip(plane / top * 220, 0, 255).astype(np.uint8), edge))
    sheet = Image.new("RGB", (sum(t.width + GAP for t in tiles), max(t.height for t in tiles)))
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, 0))
        left += tile.width + GAP
    return sheet


def _outlined(plane: Grey, mask: npt.NDArray[np.bool_]) -> Image.Image:
    big: Any = [np.kron(a, np.ones((SCALE, SCALE), a.dtype)) for a in (plane, mask)]
    colour = np.repeat(big[0][..., None], 3, axis=2)
    inner = np.pad(big[1], 1)
    core = inner[1:-1, 1:-1] & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    colour[big[1] & ~core] = OUTLINE
    return Image.fromarray(colour)
