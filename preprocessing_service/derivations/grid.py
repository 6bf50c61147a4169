"""Where the training slices lie in MNI152 space: the computation behind `grid.GRID_TO_MNI`.

`python -m preprocessing_service.derivations.grid` reads oasis1/ of HIPPOCAMP_DATA and prints the slab's
level, the affine, and the evidence for left and right. Three parts:

1. The slab's level: the mean stack's own coronal and sagittal cuts are looked for in the mean coronal and
   sagittal planes, whose rows are whole-head millimetres.
2. The affine: mean stack and both planes against the blurred template, least squares over 12 parameters with
   gain, linear bias and offset solved inside (planes hold scale and tilt along the thin axis).
3. Left and right: the template is symmetric, so both mirrorings fit it alike. People are not: the asymmetric
   part of the mean stack is compared with that of real heads of known orientation, read on the grid and on
   its mirror.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage, optimize

from imaging.grid import GRID_TO_MNI, TRAINING, Grid
from preprocessing_service import pipeline
from preprocessing_service.assets import template_file
from preprocessing_service.steps import resample

Array = npt.NDArray[Any]
HEADS = ("colin27_T1w.nii.gz", "ds000031_T1w.nii.gz", "uih_t1_gre_3d_sag_dicom.zip")
CENTRE = np.array([88.0, 104.0, 16.0])
BLURS: Any = ((6.0, "linear"), (3.0, "linear"), (2.0, "huber"))
START = np.array([1.03, 0, 0, 0, 1.03, 0, 0, 0, 1.03, 0, -18, 16])
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Slab:
    """Mean images, and where they meet.

    stack: (32, 208, 176). coronal: (176, 176). sagittal: (176, 208). row: the coronal plane's row in the
    stack. column: the sagittal plane's. top: picture row of the last slice.
    """

    stack: Array
    coronal: Array
    sagittal: Array
    row: int
    column: int
    top: int


def data_folder() -> Path:
    """oasis1 of HIPPOCAMP_DATA; SystemExit says what to set."""
    root = os.environ.get("HIPPOCAMP_DATA")
    if not root or not (Path(root) / "oasis1" / "slices").is_dir():
        raise SystemExit("set HIPPOCAMP_DATA to the folder that holds oasis1/ and volumes/")
    return Path(root) / "oasis1"


def read_stack(subject: Path) -> Array:
    """(32, 208, 176) of one subject's folder of JPG slices."""
    return np.stack([_grey(subject / f"{k:02d}.jpg") for k in range(1, 33)])


def find_slab(folder: Path) -> Slab:
    """The mean images, and where the planes cut the stack by normalised correlation."""
    subjects = sorted((folder / "slices").iterdir())
    stack = np.mean([read_stack(subject) for subject in subjects], axis=0)
    coronal, sagittal = (np.mean([_grey(p) for p in sorted((folder / "planes").glob(f"*_{c}.jpg"))], axis=0)
                         for c in "cs")  # fmt: skip
    row, top, score = _best([(r, stack[::-1, r]) for r in range(60, 150)], coronal)
    column, top_again, score_again = _best([(c, stack[::-1, :, c]) for c in range(70, 106)], sagittal)
    _say(f"coronal plane: row {row}, slice 32 at its line {top} (r {score:.4f})")
    _say(f"sagittal plane: column {column}, slice 32 at its line {top_again} (r {score_again:.4f})")
    return Slab(stack, coronal, sagittal, row, column, top)


def _best(cuts: list[tuple[int, Array]], plane: Array) -> tuple[int, int, float]:
    tried = [(place, top, float(np.corrcoef(cut.ravel(), plane[top : top + 32].ravel())[0, 1]))
             for place, cut in cuts for top in range(len(plane) - 31)]  # fmt: skip
    return max(tried, key=lambda found: found[2])


def samples(slab: Slab) -> tuple[Array, Array]:
    """(n, 3) grid coordinates (column, row, slice) and (n,) intensities of stack and planes, thinned out."""
    k, r, c = np.mgrid[:32:3, :208:3, :176:3]
    u, v = np.mgrid[:176:2, :176:2]
    s, t = np.mgrid[:176:2, :208:2]
    base = slab.top + 31
    points = [np.stack([c, r, k], -1), np.stack([v, np.full_like(v, slab.row), base - u], -1),
              np.stack([np.full_like(t, slab.column), t, base - s], -1)]  # fmt: skip
    values = [slab.stack[k, r, c], slab.coronal[u, v], slab.sagittal[s, t]]
    flat = np.concatenate([p.reshape(-1, 3) for p in points]).astype(np.float64)
    return flat, np.concatenate([v.ravel() for v in values]) / 100


def fit(slab: Slab) -> Array:
    """(4, 4) grid -> MNI mm, columns taken as left to right (the mirror is settled afterwards)."""
    image: Any = nibabel.load(template_file("t1"))
    head, to_voxel = np.asanyarray(image.dataobj).astype(np.float64), np.linalg.inv(image.affine)
    points, values = samples(slab)
    slopes = (points - CENTRE) / 50
    found = START
    for blur, loss in BLURS:
        smooth = ndimage.gaussian_filter(head, blur) / 100

        def residuals(parameters: Array, smooth: Array = smooth) -> Array:
            matrix = to_voxel @ _matrix(parameters)
            seen = ndimage.map_coordinates(smooth, (points @ matrix[:3, :3].T + matrix[:3, 3]).T, order=1)
            design = np.column_stack([seen, seen[:, None] * slopes, seen > 0.1])
            return np.asarray(design @ np.linalg.lstsq(design, values, rcond=None)[0] - values)

        scale = np.r_[np.full(9, 0.02), np.ones(3)]
        found = optimize.least_squares(residuals, found, x_scale=scale, loss=loss, f_scale=0.1, max_nfev=40).x
        _say(f"blur {blur} mm: {1 - residuals(found).var() / values.var():.1%} of the variance explained")
    return _matrix(found)


def _matrix(parameters: Array) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3] = parameters[:9].reshape(3, 3)
    matrix[:3, 3] = parameters[9:] - matrix[:3, :3] @ CENTRE
    return matrix


def sides(stack: Array, matrix: Array, head: Path) -> tuple[float, float]:
    """Correlation of the stack's asymmetric part with a real head's, on the grid and on its mirror."""
    _, found = pipeline.examine(head)
    scores = []
    for grid in (matrix, MIRROR @ matrix):
        seen = resample.resample(
            found.volume, found.brain, found.alignment, found.tissues, grid=Grid(grid, TRAINING.shape)
        )
        level = np.percentile(seen[seen > 0], 95) / 220
        one, other = _asymmetry(seen / level), _asymmetry(stack)
        scores.append(float(np.corrcoef(one[stack > 20], other[stack > 20])[0, 1]))
    return scores[0], scores[1]


def _asymmetry(stack: Array) -> Array:
    # The mean stack's own mirror axis lies one column off the picture's middle: flipping shifts by two.
    smooth = ndimage.gaussian_filter(stack.astype(np.float64), (3, 5, 5))
    return np.asarray(smooth - np.roll(smooth[:, :, ::-1], -2, axis=2))


def _grey(file: Path) -> Array:
    return np.asarray(Image.open(file).convert("L"), dtype=np.float64)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> None:
    """Print the affine and how far the stored one is from it."""
    folder = data_folder()
    slab = find_slab(folder)
    matrix = fit(slab)
    scores = [sides(slab.stack, matrix, folder.parent / "volumes" / name) for name in HEADS]
    for name, (straight, mirrored) in zip(HEADS, scores, strict=True):
        _say(f"{name}: asymmetry agrees by {straight:.2f}, mirrored {mirrored:.2f}")
    if np.mean([mirrored - straight for straight, mirrored in scores]) > 0:
        matrix = MIRROR @ matrix
    _say(np.array2string(matrix, precision=4, suppress_small=True, separator=", "))
    corners = np.array([[c, r, k, 1] for c in (20, 155) for r in (18, 188) for k in (0, 31)]).T
    apart = np.linalg.norm(((matrix - GRID_TO_MNI) @ corners)[:3], axis=0).max()
    _say(f"the stored grid differs by {apart:.2f} mm at most over the brain's corners")


if __name__ == "__main__":
    main()
