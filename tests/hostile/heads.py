"""Real heads as scanners and people spoil them: what may pass, and what must be refused with a measure."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deploy.local.sample import sample_volume
from tests.hostile.case import Case, case

Floats = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int16]
Affine = npt.NDArray[np.float64]
Spoil = Callable[[Floats, Affine], tuple[npt.NDArray[np.generic], Affine]]

REFUSED = "quality.not_a_head quality.not_t1w quality.coverage quality.registration quality.noise"


@cache
def sample() -> tuple[Floats, Affine]:
    """A whole head at 2 mm, so that the corpus stays quick."""
    image = nib.load(sample_volume())
    data = ndimage.zoom(np.asanyarray(image.dataobj).astype(np.float32), 0.5, order=1)
    affine = image.affine @ np.diag([2.0, 2, 2, 1])
    return np.clip(data, 0, None), affine


def made(spoil: Spoil) -> bytes:
    """The spoilt head as a compressed NIfTI-1 file."""
    data, affine = spoil(*sample())
    return gzip.compress(nib.Nifti1Image(np.ascontiguousarray(data), affine).to_bytes(), 1)


def of(name: str, codes: str, spoil: Spoil) -> Case:
    """A case made when it is needed."""
    return case(f"head {name}", codes, lambda _: made(spoil))


def as_stored(data: Floats) -> Shorts:
    """Rounded like a scanner stores it."""
    return np.rint(np.clip(data, -3000, 32000)).astype(np.int16)


def thick(data: Floats, affine: Affine, *, by: int) -> tuple[Shorts, Affine]:
    """Every `by` slices averaged into one, along the last axis."""
    n = data.shape[2] // by * by
    merged = data[:, :, :n].reshape(*data.shape[:2], -1, by).mean(3)
    moved = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, by, (by - 1) / 2], [0, 0, 0, 1.0]])
    return as_stored(merged), moved


def flipped(axis: int, *, affine_too: bool) -> Spoil:
    """Stored the other way round; the affine says so, or lies."""

    def spoil(data: Floats, affine: Affine) -> tuple[Shorts, Affine]:
        turn = np.eye(4)
        turn[axis, axis], turn[axis, 3] = -1, data.shape[axis] - 1
        return as_stored(np.flip(data, axis)), affine @ turn if affine_too else affine

    return spoil


def inverted(data: Floats, affine: Affine) -> tuple[Shorts, Affine]:
    """Dark tissue bright and bright tissue dark, as in T2."""
    top = float(np.percentile(data, 99.5))
    head = ndimage.binary_fill_holes(ndimage.binary_closing(data > 0.12 * top, iterations=4))
    return as_stored(np.where(head, np.clip(top * 1.05 - data, 0, None), data)), affine


def fluid_painted(data: Floats, affine: Affine) -> tuple[Shorts, Affine]:
    """As with 40 ml more of dark fluid beside the ventricles: old age, no fault."""
    i, j, k = np.indices(data.shape)
    a, b, c = np.array(data.shape) * (0.5, 0.48, 0.66)
    ventricles = ((np.abs(i - a) - 6) / 5) ** 2 + ((j - b) / 19) ** 2 + ((k - c) / 7) ** 2 < 1
    return as_stored(np.where(ventricles, 0.12 * np.percentile(data, 99), data)), affine


def flair_like(data: Floats, affine: Affine) -> tuple[Shorts, Affine]:
    """Fluid as dark as it was, grey matter a little brighter than white."""
    fluid, grey, white = np.percentile(data, 99) * np.array([0.15, 0.42, 0.62])
    knots = [0, fluid, grey, white, 1.6 * white]
    return as_stored(np.interp(data, knots, [0, fluid, 1.05 * white, white, 1.1 * white])), affine


def labelled(data: Floats, affine: Affine) -> tuple[npt.NDArray[np.uint8], Affine]:
    """Three grey values: what a segmentation writes."""
    smooth = ndimage.gaussian_filter(data, 1.0)
    return np.digitize(smooth, np.percentile(data, 99) * np.array([0.1, 0.3, 0.52])).astype(np.uint8), affine


def even(data: Floats, affine: Affine) -> tuple[Shorts, Affine]:
    """One brightness inside the head: no contrast at all."""
    random = np.random.default_rng(0).normal(0, 5, data.shape)
    return as_stored(np.where(data > 0.12 * np.percentile(data, 99), 500, 0) + random), affine


def noisy(share: float) -> Spoil:
    """Gaussian noise, a share of the bright tissue."""
    return lambda data, affine: (
        as_stored(data + np.random.default_rng(0).normal(0, share * np.percentile(data, 98), data.shape)),
        affine,
    )


CASES: list[Case] = [
    of("2 mm", "ok", lambda d, a: (as_stored(d), a)),
    of("2 mm float64", "ok", lambda d, a: (d.astype(np.float64), a)),
    of("6 mm thick", f"ok {REFUSED}", lambda d, a: thick(d, a, by=3)),
    of("10 mm thick", f"ok {REFUSED}", lambda d, a: thick(d, a, by=5)),
    of("20 mm thick", f"input.bad_geometry {REFUSED}", lambda d, a: thick(d, a, by=10)),
    of("stored upside down", "ok", flipped(2, affine_too=True)),
    of("stored mirrored", "ok", flipped(0, affine_too=True)),
    of("upside down, affine lies", f"ok {REFUSED}", flipped(2, affine_too=False)),
    of("front to back, affine lies", f"ok {REFUSED}", flipped(1, affine_too=False)),
    of("mirrored, affine lies", f"ok {REFUSED}", flipped(0, affine_too=False)),
    of("top cut off", REFUSED, lambda d, a: (as_stored(d[:, :, : d.shape[2] // 2]), a)),
    of("half a head", REFUSED, lambda d, a: (as_stored(d[: d.shape[0] // 2]), a)),
    of("front half", REFUSED, lambda d, a: (as_stored(d[:, : d.shape[1] // 2]), a)),
    of("a slab of 24 mm", f"{REFUSED} input.bad_geometry", lambda d, a: (as_stored(d[:, :, 50:62]), a)),
    of("fluid painted into the ventricles", "ok", fluid_painted),
    of("FLAIR-like contrast", "quality.not_t1w", flair_like),
    of("label map of three values", "quality.not_t1w", labelled),
    of("inverted contrast", REFUSED, inverted),
    of("no contrast", REFUSED, even),
    of("noise 10 %", f"ok {REFUSED}", noisy(0.1)),
    of("noise 100 %", REFUSED, noisy(1.0)),
    of("two heads", f"ok {REFUSED}", lambda d, a: (as_stored(np.concatenate([d, d], 0)), a)),
    of("shrunk to a mouse", REFUSED, lambda d, a: (as_stored(d), a @ np.diag([0.3, 0.3, 0.3, 1]))),
    of("blown up", f"{REFUSED} input.bad_geometry", lambda d, a: (as_stored(d), a @ np.diag([2.0, 2, 2, 1]))),
    of("binary mask", REFUSED, lambda d, a: ((d > 0.2 * np.percentile(d, 99)).astype(np.uint8), a)),
    of("checkerboard", REFUSED, lambda d, a: ((np.indices(d.shape).sum(0) % 2 * 900).astype(np.int16), a)),
]
