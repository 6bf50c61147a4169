"""Pictures to look at: the outlines on coronal and sagittal cuts, ours filled, the manual ones as lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from bench.anatomy.ours import Seen
from bench.anatomy.scans import MANUAL
from imaging.hemisphere import CORNER, LEFT, Structure, box_to_mni
from preprocessing_service.anatomy.outlines import outlined
from preprocessing_service.anatomy.volumes import Millilitres

Floats = npt.NDArray[np.float32]
COLOURS = np.array([[0, 0, 0], [255, 60, 60], [0, 220, 255], [90, 110, 255], [255, 200, 0]], np.float32)
CORONAL, SAGITTAL = (-4, -12, -20, -28, -36), (-30, -24)
"""MNI152 mm of the cuts."""

ZOOM = 4


def overlay(seen: Seen, ml: Millilitres, side: int = LEFT) -> npt.NDArray[np.uint8]:
    """One row of cuts through one side's box, RGB."""
    grey = seen.found.boxes.grey[side].astype(np.float32)
    ours, _ = outlined(seen.found.probabilities, ml, side, seen.found.boxes.voxel_ml)
    manual = _manual(seen, side)
    cuts = [_cut(grey, ours, manual, (1, int(y - CORNER[1]))) for y in CORONAL]
    cuts += [_cut(grey, ours, manual, (0, int(x - CORNER[0]))) for x in SAGITTAL]
    height = max(cut.shape[0] for cut in cuts)
    return np.hstack([np.pad(cut, ((0, height - len(cut)), (0, 6), (0, 0))) for cut in cuts])


def write_overlays(rows: dict[str, npt.NDArray[np.uint8]], folder: Path) -> list[Path]:
    """One PNG per scan."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, picture in rows.items():
        paths.append(folder / f"{name}.png")
        Image.fromarray(picture).save(paths[-1])
    return paths


def _manual(seen: Seen, side: int) -> npt.NDArray[np.uint8]:
    labels, affine = seen.scan.manual
    matrix = np.linalg.inv(affine) @ seen.found.boxes.to_world @ box_to_mni(side)
    shape = seen.found.boxes.grey.shape[1:]
    read = ndimage.affine_transform(labels, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=0)
    out = np.zeros(shape, np.uint8)
    for structure in Structure:
        out[read == MANUAL[structure, side]] = structure
    return out


def _cut(
    grey: Floats, ours: npt.NDArray[np.uint8], manual: npt.NDArray[np.uint8], plane: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    picture, found, drawn = (
        np.kron(np.take(a, plane[1], plane[0]).T[::-1], np.ones((ZOOM, ZOOM), a.dtype))
        for a in (grey, ours, manual)
    )
    rgb = np.repeat(picture[..., None], 3, -1)
    for structure in Structure:
        rgb[found == structure] = 0.62 * rgb[found == structure] + 0.38 * COLOURS[structure]
        inside = drawn == structure
        rgb[inside & ~ndimage.binary_erosion(inside)] = 255
    return np.clip(rgb, 0, 255).astype(np.uint8)
