"""What registration and bias correction need of the MNI152 template, computed once and kept in the cache folder."""

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

Floats = npt.NDArray[np.float32]
LEVELS = ((4.0, 8), (3.0, 4), (1.5, 3))
"""(blur as a standard deviation in mm, spacing of the sample points in mm), coarse to fine."""

PRIOR_SPACING = 4
REACH = 50.0
"""mm; brings the affine's linear terms to the size of its shifts, so that one linear solve suits both."""


@dataclass(frozen=True)
class Level:
    """Sample points of the blurred template and the template's change with each affine parameter there.

    points: (n, 3) mm. offsets: (n, 3), (points - centre) / REACH. values: (n,), brain median 1.
    design: (n, 20), columns 0-11 the derivative by the affine (rows x, y, z; columns offsets and shift),
    12-18 the template times a gain that varies to second order, 19 the brain itself (an offset).
    """

    points: Floats
    offsets: Floats
    values: Floats
    design: Floats
    blur: float


@dataclass(frozen=True)
class Priors:
    """Where tissues are expected: points (n, 3) mm, shares (n, 3) of CSF, grey and white, and field basis."""

    points: Floats
    shares: Floats
    basis: Floats


@dataclass(frozen=True)
class Template:
    """The whole of it; `centre` (3,) mm is the brain's middle and `volume` its size in mm³."""

    levels: tuple[Level, ...]
    priors: Priors
    centre: npt.NDArray[np.float64]
    volume: float
    brain: Floats


@cache
def load_template() -> Template:
    """The template of this process; computed and stored on first use, then read back in milliseconds."""
    source = Path(__file__).read_bytes() + (Path(__file__).parent / "polynomial.py").read_bytes()
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
        np.savez(out, **parts)
    Path(name).replace(file)


def _template_of(parts: dict[str, npt.NDArray[Any]]) -> Template:
    names = ("points", "offsets", "values", "design")
    levels = tuple(
        Level(*(parts[f"{name}{n}"] for name in names), blur=blur) for n, (blur, _) in enumerate(LEVELS)
    )
    priors = Priors(parts["prior_points"], parts["shares"], basis(parts["prior_points"]))
    return Template(levels, priors, parts["centre"], float(parts["volume"]), parts["brain"])


def _compute() -> dict[str, npt.NDArray[Any]]:
    image = nibabel.load(template_file("t1"))
    affine = image.affine
    head = np.asanyarray(image.dataobj).astype(np.float32)
    mask = ndimage.binary_fill_holes(head > 0)
    assert mask is not None
    head /= np.median(head[mask])
    centre = nibabel.affines.apply_affine(affine, np.argwhere(mask).mean(0))
    parts: dict[str, npt.NDArray[Any]] = {"centre": centre, "volume": np.array(float(mask.sum()))}
    for n, (blur, spacing) in enumerate(LEVELS):
        level = _level(head, mask, affine, (blur, spacing, centre))
        parts |= {f"{name}{n}": values for name, values in level.items()}
    parts |= _priors(mask, affine)
    parts["brain"] = _every(mask, PRIOR_SPACING, affine)
    return parts


def _every(mask: npt.NDArray[np.bool_], spacing: int, affine: npt.NDArray[np.float64]) -> Floats:
    first = spacing // 2
    index = np.argwhere(mask[first::spacing, first::spacing, first::spacing]) * spacing + first
    return np.asarray(nibabel.affines.apply_affine(affine, index), dtype=np.float32)


def _level(
    head: Floats, mask: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64], at: tuple[float, int, Any]
) -> dict[str, Floats]:
    blur, spacing, centre = at
    smooth = ndimage.gaussian_filter(head, blur)
    slopes = np.stack(np.gradient(smooth), -1)  # 1 mm voxels along RAS+: per mm already
    points = _every(ndimage.binary_dilation(mask, iterations=4), spacing, affine)
    index = tuple(np.rint(nibabel.affines.apply_affine(np.linalg.inv(affine), points)).astype(int).T)
    values, slope = smooth[index][:, None], slopes[index]
    offsets = (points - centre) / REACH
    moves = np.concatenate([offsets, np.ones((len(offsets), 1))], 1)
    by_affine = (slope[:, :, None] * moves[:, None, :]).reshape(len(points), 12)
    brain = values > 0.02 * values.max()
    design = np.concatenate([by_affine, values, values * offsets, values * offsets**2 / 2, brain], 1)
    return {
        "points": points,
        "offsets": offsets.astype(np.float32),
        "values": values[:, 0].astype(np.float32),
        "design": design.astype(np.float32),
    }


def _priors(mask: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]) -> dict[str, Floats]:
    maps = []
    for name in ("gm", "wm"):
        share = np.asanyarray(nibabel.load(template_file(name)).dataobj).astype(np.float32) / 255
        maps.append(ndimage.gaussian_filter(share, 1.5))
    points = _every(mask, PRIOR_SPACING, affine)
    index = tuple(np.rint(nibabel.affines.apply_affine(np.linalg.inv(affine), points)).astype(int).T)
    grey, white = maps[0][index], maps[1][index]
    shares = np.stack([np.clip(1 - grey - white, 0.02, 1), grey + 0.02, white + 0.02], 1)
    shares /= shares.sum(1, keepdims=True)
    return {"prior_points": points, "shares": shares.astype(np.float32)}


