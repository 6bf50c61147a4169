"""Whole heads drawn from label maps: old brains of known contrast, with lesions of known size.

The maps carry FreeSurfer's numbers, and from 500 on what lies outside the brain. A drawing is no scan: it has
no vessels, no cortical layers and no artefacts. It shows what a contrast does to a measure, not how often.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bench.atrophy import Push, push_for, warped
from preprocessing_service.volume import Volume

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int16]
TISSUES: dict[str, tuple[int, ...]] = {
    "fluid": (4, 5, 14, 15, 24, 43, 44, 72),
    "grey": (3, 8, 17, 18, 26, 42, 47, 53, 54, 58),
    "striatum": (11, 12, 50, 51, 136, 137, 163, 164),
    "thalamus": (10, 49),
    "pallidum": (13, 52),
    "white": (2, 7, 16, 28, 41, 46, 60, 85, 502, 512),
    "vessel": (30, 62, 514),
    "muscle": (507, 508, 509, 530),
    "fat": (511, 516),
    "bone": (515,),
    "eye": (506,),
}
VENTRICLES, HORNS, SULCI = (4, 43, 14), (5, 44), (24,)
LESION = "lesion"
PLEXUS = (136, 137, 163, 164)
LOWEST = 250
"""Voxels below which a structure is too small to be widened."""


@dataclass(frozen=True)
class Contrast:
    """name: what it is called in the table. levels: brightness of each tissue, white matter being 1.

    spread: relative spread of every level from drawing to drawing. air: brightness of air. stripped: brain
    only. blur: mm of the scanner's own blur beyond the voxel (PET).
    """

    name: str
    levels: dict[str, float]
    spread: float = 0.04
    air: float = 0.0
    stripped: bool = False
    blur: float = 0.0


def _levels(brain: str, outside: str) -> dict[str, float]:
    names = ("fluid", "grey", "striatum", "thalamus", "pallidum", "white", LESION)
    others = ("vessel", "muscle", "fat", "bone", "eye")
    values = [float(value) for value in (brain + " " + outside).split()]
    return dict(zip((*names, *others), values, strict=True))


T1 = Contrast("T1", _levels("0.30 0.70 0.76 0.86 0.92 1 0.76", "0.5 0.6 1.5 0.10 0.35"))
T1_SOFT = Contrast("T1 at 1.5 T", _levels("0.42 0.83 0.86 0.92 0.96 1 0.86", "0.6 0.65 1.6 0.12 0.45"), 0.02)
FLAIR = Contrast("FLAIR", _levels("0.25 1.08 1.02 1.04 0.88 1 1.6", "0.5 0.5 1.6 0.15 0.4"))
FLAIR_FLAT = Contrast("FLAIR, flat", _levels("0.22 1.00 0.98 1.00 0.85 1 1.4", "0.4 0.6 1.8 0.1 0.3"), 0.03)
T2 = Contrast("T2", _levels("3.0 1.40 1.15 1.20 0.80 1 1.8", "0.4 0.6 1.5 0.2 3.2"))
PD = Contrast("PD", _levels("1.05 1.18 1.10 1.08 0.95 1 1.25", "0.6 0.8 1.1 0.2 1.1"), 0.03)
EPI = Contrast("EPI", _levels("1.8 1.25 1.10 1.15 0.75 1 1.4", "0.5 0.3 0.15 0.1 0.8"), blur=3.0)
DWI = Contrast("DWI", _levels("0.30 1.15 1.05 1.10 0.80 1 1.2", "0.4 0.25 0.12 0.08 0.2"), blur=2.0)
PET = Contrast("PET", _levels("0.5 2.2 2.3 2.2 1.4 1 0.9", "0.8 0.7 0.35 0.4 0.6"), 0.08, blur=6.0)
CT = Contrast("CT", _levels("1.008 1.038 1.038 1.036 1.036 1.03 1.02", "1.05 1.055 0.92 1.9 1.01"), 0.001)
ADC = Contrast("ADC", _levels("3.2 1.15 1.05 1.05 1.0 1 1.4", "0.5 0.4 0.2 0.1 2.5"), blur=2.0)
FA = Contrast("FA", _levels("0.08 0.25 0.3 0.5 0.5 1 0.6", "0 0 0 0 0"), stripped=True, blur=1.0)
INVERTED = Contrast("inverted", _levels("1.5 1.28 1.24 1.14 1.08 1 1.24", "1.4 1.3 0.4 1.9 1.5"))
SUSCEPTIBILITY = Contrast("T2*", _levels("1.25 1.15 0.95 1.05 0.6 1 1.25", "0.4 0.8 0.9 0.2 1.2"))
WANTED = (T1, T1_SOFT)
OTHERS = (FLAIR, FLAIR_FLAT, T2, PD, EPI, DWI, PET, CT, ADC, FA, INVERTED, SUSCEPTIBILITY)


@dataclass(frozen=True)
class Recipe:
    """How one head is drawn.

    voxel: mm along right, anterior and superior. lesions: ml. ventricles, sulci: times as large. noise: of
    white matter's brightness. bias: standard deviation of the coil's log field.
    """

    contrast: Contrast
    voxel: tuple[float, float, float] = (1.5, 1.5, 1.5)
    lesions: float = 0.0
    ventricles: float = 1.0
    sulci: float = 1.0
    noise: float = 0.03
    bias: float = 0.06
    seed: int = 0


def load_labels(file: Path) -> tuple[Labels, npt.NDArray[np.float64]]:
    """A label map along RAS axes, and its affine."""
    image: Any = nibabel.as_closest_canonical(nibabel.load(file))  # type: ignore[no-untyped-call]
    return np.asanyarray(image.dataobj).astype(np.int16), np.asarray(image.affine)


def atrophied(labels: Labels, recipe: Recipe) -> Labels:
    """The map with wider ventricles, temporal horns and sulci."""
    ones = np.ones(3)
    pushes: list[Push] = []
    for numbers, factor, reach in (
        (VENTRICLES, recipe.ventricles, 14.0),
        (HORNS, recipe.ventricles, 7.0),
        (SULCI, recipe.sulci, 4.0),
    ):
        mask = np.isin(labels, numbers)
        if factor != 1 and np.count_nonzero(mask) > LOWEST:
            pushes.append(push_for(mask, ones, factor=factor, reach=reach))
            labels = warped(labels, [pushes[-1]], ones).astype(np.int16)
    return labels


def drawn(labels: Labels, affine: npt.NDArray[np.float64], recipe: Recipe) -> Volume:
    """One head as a scanner would store it: int16, `recipe.voxel` mm."""
    rng = np.random.default_rng(recipe.seed)
    labels = atrophied(labels, recipe)
    picture = _painted(labels, recipe, rng)
    zooms = np.array(recipe.voxel)
    widths = np.sqrt(np.maximum(zooms**2 - 1, 0) + recipe.contrast.blur**2) / 2.355
    picture = ndimage.gaussian_filter(picture, np.maximum(widths, 0.45))
    if recipe.contrast is not CT:
        picture *= np.exp(recipe.bias * _smooth(picture.shape, 70.0, rng))
    seen = ndimage.affine_transform(
        picture, np.diag(zooms), (zooms - 1) / 2, output_shape=_fitting(labels, zooms), order=1
    )
    noise = recipe.noise * (0.2 if recipe.contrast is CT else 1.0)
    seen = np.hypot(seen + noise * rng.standard_normal(seen.shape, np.float32),
                    noise * rng.standard_normal(seen.shape, np.float32))  # fmt: skip
    if recipe.contrast.stripped:
        seen[
            ndimage.affine_transform(
                (picture > 0.02).astype(np.float32), np.diag(zooms), output_shape=seen.shape, order=0
            )
            == 0
        ] = 0
    moved = affine.copy()
    moved[:3, :3] = affine[:3, :3] * zooms
    moved[:3, 3] += affine[:3, :3] @ ((zooms - 1) / 2)
    unit = 1000.0 if recipe.contrast is CT else 400.0
    return Volume(np.rint(seen * unit).astype(np.int16), moved)


def _fitting(labels: Labels, zooms: npt.NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.array(labels.shape) // zooms)


def _painted(labels: Labels, recipe: Recipe, rng: np.random.Generator) -> Floats:
    contrast = recipe.contrast
    levels = {
        name: value * (1 + contrast.spread * rng.standard_normal()) for name, value in contrast.levels.items()
    }
    levels["white"] = 1.0
    table = np.full(600, contrast.air, np.float32)
    for name, numbers in TISSUES.items():
        outside = name in ("vessel", "muscle", "fat", "bone", "eye")
        table[list(numbers)] = 0.0 if contrast.stripped and outside else levels[name]
    table[list(PLEXUS)] = (levels["grey"] + levels["fluid"]) / 2
    picture = table[labels]
    texture = 0.02 if contrast is not CT else 0.001
    picture *= 1 + texture * _smooth(labels.shape, 4.0, rng)
    if recipe.lesions:
        share = lesions(labels, recipe.lesions, rng)
        picture += share * (levels[LESION] - picture)
    return picture


def lesions(labels: Labels, millilitres: float, rng: np.random.Generator) -> Floats:
    """(a, b, c) share of lesion in white matter: patches around the ventricles first, as in old age."""
    white = np.isin(labels, (2, 41))
    near = ndimage.gaussian_filter(np.isin(labels, VENTRICLES).astype(np.float32), 8.0)
    likely = np.where(white, 6 * near / near.max() + _smooth(labels.shape, 9.0, rng), -9.0)
    count = min(int(millilitres * 1000), int(0.6 * np.count_nonzero(white)))
    least = np.partition(likely.ravel(), -count)[-count]
    return np.asarray(ndimage.gaussian_filter((likely > least).astype(np.float32), 0.8), np.float32)


def _smooth(shape: tuple[int, ...], knot: float, rng: np.random.Generator) -> Floats:
    """Noise of unit spread, smooth over `knot` voxels."""
    small = rng.standard_normal([int(np.ceil(n / knot)) + 3 for n in shape], np.float32)
    grown = ndimage.zoom(
        small,
        [n / (s - 1) for n, s in zip(shape, small.shape, strict=True)],
        order=1,
        grid_mode=True,
        mode="nearest",
    )
    grown = grown[tuple(slice(n) for n in shape)]
    return np.asarray(grown / grown.std(), np.float32)
