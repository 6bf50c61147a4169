"""The template's brain and ventricles as the page draws them: behind `gateway/images/template.npz`.

python -m preprocessing_service.derivations.outline gateway/images/template.npz
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from imaging.grid import BRAIN
from preprocessing_service.assets import template_file
from preprocessing_service.brain_extraction.components import largest_piece

Floats = npt.NDArray[np.float32]
EVERY = 2
"""BRAIN voxels a cell of the file; the page reads between its cells, so that the outline stays smooth."""

FISSURE, ASIDE = 3, 34
"""mm from the midline: fluid between the hemispheres, and that of the Sylvian fissure, is no ventricle."""

DEEP = 18
"""mm below the surface, where fluid is ventricle and not sulcus."""


def main(path: str) -> None:
    """Write (slices, rows, columns) uint8 shares, 255 all inside, on every second voxel of BRAIN."""
    head, affine = _image("t1")
    mask = ndimage.binary_fill_holes(head > 0)
    fluid = mask & (_image("gm")[0] + _image("wm")[0] < 128)
    deep = fluid & ndimage.binary_erosion(mask, iterations=DEEP)
    right = np.indices(mask.shape, dtype=np.float32)[0] * affine[0, 0] + affine[0, 3]
    sides = [
        deep & (np.sign(right) == side) & (np.abs(right) >= FISSURE) & (np.abs(right) < ASIDE)
        for side in (-1, 1)
    ]
    ventricles = largest_piece(sides[0]) | largest_piece(sides[1])
    shares = {name: _on_grid(part, affine) for name, part in (("brain", mask), ("ventricles", ventricles))}
    np.savez_compressed(Path(path), **shares)  # type: ignore[arg-type]


def _image(name: str) -> tuple[Floats, npt.NDArray[np.float64]]:
    image: Any = nibabel.load(template_file(name))
    return np.asanyarray(image.dataobj).astype(np.float32), np.asarray(image.affine)


def _on_grid(part: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    smooth = ndimage.gaussian_filter(part.astype(np.float32), 1.0)
    shape = tuple(-(-n // EVERY) for n in reversed(BRAIN.shape))
    index = np.indices(shape).reshape(3, -1) * EVERY
    at = (np.linalg.inv(affine) @ BRAIN.to_mni)[:3] @ np.vstack([index, np.ones(index.shape[1])])
    values = ndimage.map_coordinates(smooth, at, order=1).reshape(shape)
    return np.rint(values.T * 255).astype(np.uint8)


if __name__ == "__main__":
    main(*sys.argv[1:])
