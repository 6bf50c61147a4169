"""A T1-weighted picture of an anatomy: random grey levels near those of preprocessing, textures, lesions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from model_store.anatomy import codes as c
from model_store.anatomy.deformation import Read
from model_store.anatomy.noise import smooth_noise

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def draw_levels(rng: np.random.Generator) -> Floats:
    """(32,) grey level of every label; preprocessing brings CSF, grey and white matter to 48, 122 and 202."""
    fluid, grey, white = max(8.0, rng.normal(43, 14)), rng.normal(122, 8), rng.normal(202, 7)

    def deep(share: float, spread: float) -> float:
        return float(grey + (white - grey) * (share + rng.normal(0, spread)))

    level = np.zeros(c.OTHER, np.float32)
    level[[c.WHITE, c.CORTEX]] = white, grey
    level[[c.CEREBELLUM_WHITE, c.CEREBELLUM_GREY]] = white - rng.normal(5, 6), grey - rng.normal(5, 8)
    level[[c.VENTRICLE, c.THIRD, c.FOURTH, c.CSF]] = fluid + rng.normal(0, 6, 4)
    level[c.HORN] = level[c.VENTRICLE] + rng.normal(5, 9)
    level[[c.THALAMUS, c.CAUDATE]] = deep(0.5, 0.12), deep(0.2, 0.1)
    level[[c.PUTAMEN, c.PALLIDUM]] = deep(0.3, 0.1), deep(0.75, 0.12)
    level[[c.STEM, c.VENTRAL, c.ACCUMBENS]] = deep(0.75, 0.1), deep(0.65, 0.15), deep(0.15, 0.1)
    level[[c.HIPPOCAMPUS, c.AMYGDALA]] = grey + rng.normal(2, 9, 2)
    level[[c.VESSEL, c.LESION, c.CHIASM]] = fluid + rng.normal(10, 20), deep(0.3, 0.25), deep(0.5, 0.2)
    level[[c.PLEXUS, c.HORN_PLEXUS]] = rng.uniform(45, 128, 2)
    level[c.SULCUS] = fluid + (grey - fluid) * rng.uniform(0.1, 1.0)
    return np.clip(level, 0, 255)


def draw(read: Read, rng: np.random.Generator) -> tuple[Floats, Mask]:
    """(picture, brain mask) of an anatomy; both (x, y, z)."""
    tissue, picture = read.nearest % c.OTHER, read.picture
    shape = picture.shape
    picture = picture + smooth_noise(rng, shape, rng.uniform(1.5, 5)) * np.float32(rng.uniform(1, 7))
    # The hippocampus is not one grey: white alveus and fimbria, digitations.
    texture = smooth_noise(rng, shape, rng.uniform(1.5, 4)) * np.float32(rng.uniform(3, 15))
    picture += read.shares[1] * texture
    if rng.random() < 0.8:
        picture = _with_plexus(picture, read, rng)
    if rng.random() < 0.4:
        picture -= _rim_around_ventricles(tissue, rng)
    if rng.random() < 0.2:
        spots = (tissue == c.WHITE) & (smooth_noise(rng, shape, rng.uniform(3, 8)) > rng.uniform(1.6, 2.6))
        picture = np.where(spots, np.float32(rng.uniform(50, 150)), picture)
    inside = _brain(tissue, rng)
    if rng.random() < 0.5:  # meninges and vessels among the fluid
        bright = (tissue == c.CSF) & (smooth_noise(rng, shape, 3.0) > rng.uniform(0.6, 2))
        picture = np.where(bright, np.float32(rng.uniform(60, 140)), picture)
    outside = (tissue == 0) & inside
    picture = np.where(outside, np.float32(rng.uniform(40, 150)), picture)
    return picture * inside, inside


def _with_plexus(picture: Floats, read: Read, rng: np.random.Generator) -> Floats:
    fluid = read.shares[2] + read.shares[3]
    plexus = (fluid > 0.5) & (smooth_noise(rng, picture.shape, rng.uniform(2.5, 4.5)) > rng.uniform(0.9, 2.0))
    return np.where(plexus, np.float32(rng.uniform(50, 125)), picture)


def _rim_around_ventricles(tissue: npt.NDArray[np.uint8], rng: np.random.Generator) -> Floats:
    near = ndimage.gaussian_filter(
        (tissue == c.VENTRICLE).astype(np.float32), rng.uniform(1.5, 3), truncate=2.5
    )
    return np.asarray((tissue == c.WHITE) * np.minimum(near * 2, 1) * np.float32(rng.uniform(10, 70)))


def _brain(tissue: npt.NDArray[np.uint8], rng: np.random.Generator) -> Mask:
    """Brain and some of the fluid around it; at times the mask is too wide or lacks parts of its rim."""
    inside = (tissue > 0) & (tissue != c.CSF)
    around = (tissue == c.CSF) | (rng.random() < 0.1)
    inside |= ndimage.binary_dilation(inside, iterations=int(rng.integers(1, 5))) & around
    if rng.random() < 0.15:
        core = ndimage.binary_erosion(inside, iterations=int(rng.integers(1, 4)), border_value=1)
        inside &= core | (smooth_noise(rng, tissue.shape, rng.uniform(6, 14)) < rng.uniform(1.0, 2.0))
    return np.asarray(inside, dtype=bool)
