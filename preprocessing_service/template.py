"""What the steps need of the MNI152 template, computed once and kept in the cache folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from preprocessing_service.assets import assets_digest, cache_folder, template_file
from preprocessing_service.polynomial import basis
from preprocessing_service.regions import SPACING, region_numbers
from preprocessing_service.volume import Matrix

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
apply_affine: Any = nibabel.affines.apply_affine
LEVELS = ((4.0, 8), (3.0, 6), (2.0, 4))
"""(blur as a standard deviation in mm, spacing of the sample points in mm), coarse to fine."""

DILATED, ERODED = 4, 2
"""mm: the first levels also look around the brain, the last one only inside it."""

PRIOR_SPACING = 6
"""mm between the points at which tissues are told apart."""

BRAIN_SPACING = 5
"""mm between the points that stand for the template's brain."""

REACH = 50.0
"""mm; brings the affine's linear terms to the size of its shifts, so that one linear solve suits both."""


@dataclass(frozen=True)
class Level:
    """Sample points of the blurred template and the template's change with each affine parameter there.

    points: (n, 3) mm. blur: mm, standard deviation.
    design: (n, 23), columns 0-11 the derivative by the affine (rows x, y, z; columns offset / REACH, shift),
    12-21 the template times a gain that varies to second order, 22 the brain itself (an offset).
    """

    points: Floats
    design: Floats
    blur: float


@dataclass(frozen=True)
class Priors:
    """Where tissues are expected: points (n, 3) mm, shares (n, 3) of CSF, grey and white, and field basis."""

    points: Floats
    shares: Floats
    basis: Floats


@dataclass(frozen=True)
class Regions:
    """points (n, 3) mm of neighbouring grey and white matter and of the ventricles.

    numbers: (n,) as in `regions.NAMES`.
    """

    points: Floats
    numbers: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Template:
    """The whole of it; `centre` (3,) mm is the brain's middle and `volume` its size in mm³.

    levels: of the intensities, coarse to fine. outline: of the brain's shape alone.
    """

    levels: tuple[Level, ...]
    outline: Level
    priors: Priors
    regions: Regions
    centre: npt.NDArray[np.float64]
    volume: float
    brain: Floats


@cache
def load_template() -> Template:
    """The template of this process; computed and stored on first use, then read back in milliseconds."""
    source = Path(__file__).read_bytes() + (Path(__file__).parent / "polynomial.py").read_bytes()
    source += (Path(__file__).parent / "regions.py").read_bytes()
    key = hashlib.sha256(source + assets_digest().encode()).hexdigest()[:20]
    file = cache_folder() / f"template-{key}.npz"
    if not file.exists():
        _store(file, _compute())
    with np.load(file, allow_pickle=False) as parts:
        return _template_of(dict(parts))


def _store(file: Path, parts: dict[str, npt.NDArray[Any]]) -> None:
    # Written aside and renamed: another process sees the whole file or none.
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
    with os.fdopen(handle, "wb") as out:
        np.savez(out, **parts)  # type: ignore[arg-type]
    Path(name).replace(file)


def _template_of(parts: dict[str, npt.NDArray[Any]]) -> Template:
    levels = tuple(
        Level(parts[f"points{n}"], parts[f"design{n}"], blur) for n, (blur, _) in enumerate(LEVELS)
    )
    priors = Priors(parts["prior_points"], parts["shares"], basis(parts["prior_points"]))
    outline = Level(parts["outline_points"], parts["outline_design"], LEVELS[0][0])
    regions = Regions(parts["region_points"], parts["region_numbers"])
    return Template(levels, outline, priors, regions, parts["centre"], float(parts["volume"]), parts["brain"])


def _compute() -> dict[str, npt.NDArray[Any]]:
    head, affine = _image("t1")
    mask = np.asarray(ndimage.binary_fill_holes(head > 0), dtype=bool)
    head /= np.median(head[mask])
    centre = apply_affine(affine, np.argwhere(mask).mean(0))
    parts: dict[str, npt.NDArray[Any]] = {"centre": centre, "volume": np.array(float(mask.sum()))}
    for n, (blur, spacing) in enumerate(LEVELS):
        look = _inside if n == len(LEVELS) - 1 else _around
        level = _level(look(head, mask, blur), affine, spacing, centre)
        parts |= {f"{name}{n}": values for name, values in level.items()}
    parts |= _outline(mask, affine, centre)
    parts |= _priors(mask, affine)
    parts |= _regions(mask, affine)
    parts["brain"] = _every(mask, BRAIN_SPACING, affine)
    return parts


def _image(name: str) -> tuple[Floats, Matrix]:
    image: Any = nibabel.load(template_file(name))
    return np.asanyarray(image.dataobj).astype(np.float32), np.asarray(image.affine, dtype=np.float64)


def _every(mask: Mask, spacing: int, affine: Matrix) -> Floats:
    first = spacing // 2
    index = np.argwhere(mask[first::spacing, first::spacing, first::spacing]) * spacing + first
    return np.asarray(apply_affine(affine, index), dtype=np.float32)


def _around(head: Floats, mask: Mask, blur: float) -> tuple[Floats, Mask]:
    # As stripped heads look: nothing but zeros around the brain.
    wide = np.asarray(ndimage.binary_dilation(mask, iterations=DILATED), dtype=bool)
    return _blur(head * mask, blur), wide


def _inside(head: Floats, mask: Mask, blur: float) -> tuple[Floats, Mask]:
    # As unstripped heads look inside: the zeros around the template must not blur in.
    share = np.maximum(_blur(mask.astype(np.float32), blur), np.float32(1e-3))
    smooth: Floats = np.divide(_blur(head * mask, blur), share)
    return smooth, np.asarray(ndimage.binary_erosion(mask, iterations=ERODED), dtype=bool)


def _blur(image: Floats, blur: float) -> Floats:
    return np.asarray(ndimage.gaussian_filter(image, blur), dtype=np.float32)


def _level(look: tuple[Floats, Mask], affine: Matrix, spacing: int, centre: Matrix) -> dict[str, Floats]:
    smooth, where = look
    slopes: Floats = np.stack(list(np.gradient(smooth)), -1)  # 1 mm voxels along RAS+: per mm already
    points = _every(where, spacing, affine)
    index = _voxels_at(points, affine)
    values, slope = smooth[index][:, None], slopes[index]
    offsets = (points - centre) / REACH
    moves = np.concatenate([offsets, np.ones((len(offsets), 1))], 1)
    by_affine = (slope[:, :, None] * moves[:, None, :]).reshape(len(points), 12)
    brain = values > 0.02 * values.max()
    gains = [
        values,
        values * offsets,
        values * offsets**2 / 2,
        values * offsets * np.roll(offsets, 1, axis=1),
    ]
    design = np.concatenate([by_affine, *gains, brain], 1)
    return {"points": points, "design": design.astype(np.float32)}


def _outline(mask: Mask, affine: Matrix, centre: Matrix) -> dict[str, Floats]:
    blur, spacing = LEVELS[0]
    level = _level(_around(mask.astype(np.float32), mask, blur), affine, spacing, centre)
    # One gain and one offset: a shape has no field.
    design = level["design"][:, [*range(13), level["design"].shape[1] - 1]]
    return {"outline_points": level["points"], "outline_design": np.ascontiguousarray(design)}


def _voxels_at(points: Floats, affine: Matrix) -> tuple[npt.NDArray[np.int64], ...]:
    return tuple(np.rint(apply_affine(np.linalg.inv(affine), points)).astype(np.int64).T)


def _regions(mask: Mask, affine: Matrix) -> dict[str, npt.NDArray[Any]]:
    points = _every(mask, SPACING, affine)
    depth = ndimage.distance_transform_edt(mask)[_voxels_at(points, affine)].astype(np.float32)
    numbers = region_numbers(points, (_share_at(points, "gm", 1.0), _share_at(points, "wm", 1.0)), depth)
    return {"region_points": points[numbers > 0], "region_numbers": numbers[numbers > 0]}


def _share_at(points: Floats, name: str, blur: float = 1.5) -> Floats:
    share, affine = _image(name)
    blurred = _blur(share, blur)
    return np.asarray(blurred[_voxels_at(points, affine)] / 255, dtype=np.float32)


def _priors(mask: Mask, affine: Matrix) -> dict[str, Floats]:
    points = _every(mask, PRIOR_SPACING, affine)
    grey, white = (_share_at(points, name) for name in ("gm", "wm"))
    shares = np.empty((len(points), 3), np.float32)
    shares.T[:] = np.clip(1 - grey - white, 0.02, 1), grey + 0.02, white + 0.02
    shares /= shares.sum(1, keepdims=True)
    return {"prior_points": points, "shares": shares}
