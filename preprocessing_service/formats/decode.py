"""Decoding of raw voxels in bounded memory: planes come in, a compact array goes out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from contracts.errors import BadGeometry, BadVoxels, NotThreeD, TooLarge
from imaging import limits
from preprocessing_service.formats.streams import fill
from preprocessing_service.volume import Matrix, Volume

Array = npt.NDArray[Any]
Triple = tuple[int, int, int]
STEPS = 65535
KEPT = tuple(np.dtype(name) for name in ("uint8", "int16", "uint16", "float32"))
"""Types the samplers take as they are; int8 widens to int16, every other to float32."""


@dataclass(frozen=True)
class Layout:
    """What a header promises: `shape` voxels of `dtype`, first axis fastest, lying where `affine` says."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    affine: Matrix
    slope: float = 1.0
    intercept: float = 0.0


def three_axes(dims: list[int]) -> tuple[int, int, int]:
    """Three axis lengths from a header's list, trailing ones dropped; NotThreeD, TooLarge, BadGeometry."""
    if any(n < 1 for n in dims):
        raise BadGeometry(f"the header states the dimensions {dims}")
    while len(dims) > 3 and dims[-1] == 1:
        dims = dims[:-1]
    if len(dims) != 3 or min(dims) == 1:
        raise NotThreeD(f"the image has dimensions {dims}; one 3-D volume is needed")
    if max(dims) > limits.MAX_AXIS:
        raise TooLarge(f"dimensions {dims}: at most {limits.MAX_AXIS} voxels along an axis")
    if min(dims) < limits.MIN_AXIS:
        raise BadGeometry(f"dimensions {dims}: at least {limits.MIN_AXIS} voxels along an axis")
    return dims[0], dims[1], dims[2]


def check_affine(affine: Matrix, shape: tuple[int, int, int]) -> Matrix:
    """The affine, when every voxel edge, angle and extent is possible for a head; else BadGeometry."""
    if not np.isfinite(affine).all():
        raise BadGeometry("the affine holds NaN or infinite numbers")
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if zooms.min() < limits.MIN_ZOOM or zooms.max() > limits.MAX_ZOOM:
        raise BadGeometry(f"voxel edges {np.round(zooms, 4).tolist()} mm are not usable")
    if abs(np.linalg.det(affine[:3, :3] / zooms)) < 0.2:
        raise BadGeometry("the affine's axes are not independent")
    if (zooms * shape).max() > limits.MAX_EXTENT:
        raise BadGeometry(f"a field of view of {np.round(zooms * shape).tolist()} mm is no head")
    return affine


def decode(stream: BinaryIO, layout: Layout) -> Volume:
    """Read the voxels plane by plane; pairs of fine voxels are averaged when there are very many of them."""
    check_affine(layout.affine, layout.shape)
    if layout.dtype.kind not in "uif":
        raise BadVoxels(f"voxels of type {layout.dtype} are no intensities")
    halved = halves(layout.shape, layout.affine, narrow(np.empty(1, layout.dtype)).dtype)
    voxels = _read_planes(stream, layout, halved)
    return kept(Volume(voxels, layout.affine, layout.slope, layout.intercept), halved)


def halves(shape: Triple, affine: Matrix, dtype: np.dtype[Any]) -> Triple:
    """How many voxels along each axis become one: 2 along fine axes of a large volume; TooLarge."""
    if dtype.itemsize * math.prod(shape) <= limits.MAX_DECODED:
        return 1, 1, 1
    # 0.5 mm voxels hold nothing that a 1 mm stack could show: average them two by two.
    x, y, z = (2 if zoom <= limits.FINE else 1 for zoom in np.linalg.norm(affine[:3, :3], axis=0))
    size = min(dtype.itemsize, 2) * (shape[0] // x) * (shape[1] // y) * (shape[2] // z)
    if size > limits.MAX_DECODED:
        raise TooLarge(f"{shape} voxels of {dtype} take {size} bytes; send voxels of 1 mm")
    return x, y, z


def kept(volume: Volume, halved: Triple) -> Volume:
    """The volume as it stays in memory, its affine that of the averaged voxels; BadVoxels."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(halved) - 1) / 2)
    affine[:3, :3] *= halved
    return _thin(replace(volume, voxels=finite(volume.voxels), affine=affine))


def _thin(volume: Volume) -> Volume:
    """A large float volume in 16 bits: eight thousand steps from the darkest to nearly the brightest."""
    voxels = volume.voxels
    if voxels.dtype.kind != "f" or voxels.nbytes <= limits.MAX_DECODED:
        return volume
    low, high = float(voxels.min()), float(voxels.max())
    usual = float(np.quantile(voxels[::7, ::7, ::7], 0.999)) - low
    step = (min(high - low, 8 * usual) if usual > 0 else high - low) / STEPS
    planes = voxels.transpose(2, 1, 0)
    thin = np.empty(planes.shape, np.uint16)
    for plane, wide in zip(thin, planes, strict=True):
        plane[...] = np.minimum((wide.astype(np.float64) - low) / step + 0.5, STEPS)
    return replace(
        volume,
        voxels=thin.transpose(2, 1, 0),
        slope=volume.slope * step,
        intercept=volume.slope * low + volume.intercept,
    )


def finite(voxels: Array) -> Array:
    """The voxels with NaN and infinity set to zero; BadVoxels when nothing but one value is left."""
    if voxels.dtype.kind == "f":
        broken = ~np.isfinite(voxels)
        if broken.all():
            raise BadVoxels("no voxel holds a finite number")
        if broken.any():
            voxels[broken] = 0
    if voxels.min() == voxels.max():
        raise BadVoxels(f"every voxel holds the same value, {voxels.min()}")
    return voxels


def narrow(planes: Array) -> Array:
    """The planes in the nearest type that the samplers take, in this machine's byte order."""
    native = planes.dtype.newbyteorder("=")
    if native in KEPT:
        return planes.astype(native, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        return planes.astype(np.int16 if native == np.dtype("int8") else np.float32)


def _read_planes(stream: BinaryIO, layout: Layout, halved: Triple) -> Array:
    nx, ny, nz = layout.shape
    kind = narrow(np.empty(1, layout.dtype)).dtype
    if halved == (1, 1, 1) and layout.dtype == kind:
        whole = np.empty((nz, ny, nx), layout.dtype)
        fill(stream, _bytes_of(whole))
        return whole.transpose(2, 1, 0)
    plane = np.empty((ny, nx), layout.dtype)

    def planes() -> Iterator[Array]:
        for _ in range(nz):
            fill(stream, _bytes_of(plane))
            yield narrow(plane)

    return stacked(planes(), (nz, ny, nx), kind, (halved[2], halved[1], halved[0])).transpose(2, 1, 0)


def stacked(planes: Iterator[Array], shape: Triple, dtype: np.dtype[Any], halved: Triple) -> Array:
    """All the planes, (rows, columns) each, averaged in blocks of `halved`; an odd last one is dropped."""
    fz, fy, fx = halved
    out = np.empty((shape[0] // fz, shape[1] // fy, shape[2] // fx), dtype)
    for plane in out:
        plane[...] = _averaged([one.copy() if fz > 1 else one for one in islice(planes, fz)], fy, fx)
    for _ in planes:  # so that the end of the stream is seen
        pass
    return out


def _bytes_of(array: Array) -> memoryview:
    return memoryview(cast("Any", array)).cast("B")


def _averaged(planes: list[Array], fy: int, fx: int) -> Array:
    if len(planes) == fy == fx == 1:
        return planes[0]
    ny, nx = planes[0].shape
    cut = np.mean([plane[: ny // fy * fy, : nx // fx * fx] for plane in planes], axis=0, dtype=np.float32)
    return np.asarray(cut.reshape(ny // fy, fy, nx // fx, fx).mean((1, 3)))
