"""A real T1 head with atrophy, fluid painted in, coarser voxels, less contrast, or as another contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bench.atrophy import push_for, warped
from preprocessing_service.polynomial import basis
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.volume import Volume

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
KNOT = 8
"""Voxels between the knots at which the smooth field is computed."""

DEEP = 15.0
"""mm below the brain's surface, where fluid is ventricle and not sulcus."""

LEAST = 300
"""mm³ of one piece of fluid that is taken for a ventricle."""

MAPS = {
    "FLAIR": (0.12, 0.25, 1.08, 1.0, 1.15),
    "T2": (0.3, 3.0, 1.4, 1.0, 0.6),
    "PD": (0.3, 1.05, 1.18, 1.0, 1.05),
    "inverted": (1.6, 1.5, 1.28, 1.0, 0.5),
    "T1 at 1.5 T": (0.0, 0.45, 0.84, 1.0, 1.35),
}
"""What nothing, fluid, grey and white matter and 1.5 times white matter become, white matter being 1."""


@dataclass(frozen=True)
class Known:
    """A head and what the pipeline found in it. levels: fluid, grey and white matter's intensity."""

    volume: Volume
    inside: Mask
    ventricles: Mask
    sulci: Mask
    levels: npt.NDArray[np.float64]


def known(found: Prepared) -> Known:
    """Fluid told apart by depth; the volume as float32 along RAS, without the coil's field."""
    volume = found.volume
    voxels = np.ascontiguousarray(volume.voxels, np.float32) * np.float32(volume.slope) + np.float32(
        volume.intercept
    )
    levels = np.exp(found.tissues.means) * found.coarse.unit
    cells = [
        ((np.arange(n) + 0.5) * s / n).astype(int)
        for n, s in zip(voxels.shape, found.brain.inside.shape, strict=True)
    ]
    inside = found.brain.inside[np.ix_(*cells)] > 0.5
    even = voxels / coil_field(found)
    fluid = inside & (even < (levels[0] + levels[1]) / 2)
    deep = ndimage.distance_transform_edt(inside, volume.zooms) > DEEP
    pieces, _ = ndimage.label(fluid & deep)
    sizes = np.bincount(pieces.ravel()) * float(np.prod(volume.zooms))
    sizes[0] = 0
    ventricles = np.isin(pieces, np.flatnonzero(sizes > min(LEAST, sizes.max() - 1)))
    return Known(Volume(even, volume.affine), inside, ventricles, fluid & ~deep, levels)


def coil_field(found: Prepared) -> Floats:
    """The field that the pipeline estimated, on every voxel of the volume."""
    shape = found.volume.shape
    knots = [np.linspace(0, n - 1, -(-n // KNOT) + 1) for n in shape]
    mesh = np.stack(np.meshgrid(*knots, indexing="ij"), -1).reshape(-1, 3)
    to_template = np.linalg.inv(found.alignment.matrix) @ found.volume.affine
    points = (mesh @ to_template[:3, :3].T + to_template[:3, 3]).astype(np.float32)
    logs = (basis(points) @ found.tissues.field).reshape([len(axis) for axis in knots])
    factors = [n / len(axis) for n, axis in zip(shape, knots, strict=True)]
    return np.asarray(np.exp(ndimage.zoom(logs, factors, order=1)), np.float32)


def atrophied(head: Known, *, ventricles: float, sulci: float = 1.0) -> Volume:
    """Ventricles and sulci so many times as large, by a warp."""
    zooms, voxels = head.volume.zooms, head.volume.voxels.astype(np.float32)
    for mask, factor, reach in ((head.ventricles, ventricles, 14.0), (head.sulci, sulci, 4.0)):
        if factor != 1 and mask.any():
            voxels = warped(voxels, [push_for(mask, zooms, factor=factor, reach=reach)], zooms)
    return Volume(voxels, head.volume.affine)


def painted(head: Known, millilitres: float) -> Volume:
    """Fluid painted over what lies next to the ventricles until it makes so much more."""
    zooms = head.volume.zooms
    cell = float(np.prod(zooms)) / 1000
    far = ndimage.distance_transform_edt(~head.ventricles, zooms)
    far[~head.inside] = np.inf
    wanted = np.count_nonzero(head.ventricles) + int(millilitres / cell)
    edge = np.partition(far.ravel(), wanted)[wanted]
    fluid = float(head.levels[0])
    random = np.random.default_rng(0).normal(0, 0.05 * fluid, far.shape)
    return Volume(
        np.where(far < edge, fluid + random, head.volume.voxels).astype(np.float32), head.volume.affine
    )


def remapped(head: Known, name: str, *, noise: float = 0.0) -> Volume:
    """Another contrast by a map of intensities inside the head, with a share of white matter as noise."""
    knots = np.array([0.0, *head.levels, 1.5 * head.levels[2]])
    values = np.interp(head.volume.voxels, knots, MAPS[name]).astype(np.float32)
    air = head.volume.voxels < 0.3 * head.levels[0]
    air &= ~ndimage.binary_fill_holes(~air)
    values[air & ~head.inside] = 0
    rng = np.random.default_rng(1)
    if noise:
        values = np.hypot(
            *(values * part + noise * rng.standard_normal(values.shape, np.float32) for part in (1, 0))
        )
    return Volume(np.asarray(values * 400, np.float32), head.volume.affine)


def coarser(volume: Volume, voxel: tuple[float, float, float]) -> Volume:
    """Read anew in voxels of so many mm along RAS, each averaging what it covers."""
    zooms, wanted = volume.zooms, np.maximum(volume.zooms, voxel)
    widths = np.sqrt(np.maximum(wanted**2 - zooms**2, 0)) / 2.355 / zooms
    ratio = wanted / zooms
    shape = tuple(int(n) for n in np.array(volume.shape) // ratio)
    blurred = ndimage.gaussian_filter(volume.voxels.astype(np.float32), widths)
    voxels = ndimage.affine_transform(blurred, np.diag(ratio), (ratio - 1) / 2, output_shape=shape, order=1)
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3] * ratio
    affine[:3, 3] += volume.affine[:3, :3] @ ((ratio - 1) / 2)
    return Volume(np.asarray(voxels, np.float32), affine)
