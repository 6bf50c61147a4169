"""Decoding of raw voxels in bounded memory: planes come in, a compact array goes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from contracts.errors import BadGeometry, BadVoxels, NotThreeD, TooLarge
from preprocessing_service import limits
from preprocessing_service.formats.streams import fill
from preprocessing_service.volume import Matrix, Volume

Array = npt.NDArray[Any]
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
    each = narrow(np.empty(1, layout.dtype)).itemsize
    large = each * int(np.prod(layout.shape)) > limits.REDUCE_ABOVE
    halved = tuple(_halves(layout)) if large else (1, 1, 1)
    kept = each * int(np.prod(np.array(layout.shape) // halved))
    if kept > limits.MAX_DECODED:
        raise TooLarge(f"{layout.shape} voxels of {layout.dtype} take {kept} bytes; send voxels of 1 mm")
    voxels = _read_planes(stream, layout, halved)
    affine = layout.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(halved) - 1) / 2)
    affine[:3, :3] *= halved
    return Volume(finite(voxels), affine, layout.slope, layout.intercept)


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


def _halves(layout: Layout) -> list[int]:
    # 0.5 mm voxels hold nothing that a 1 mm stack could show: average them two by two.
    zooms = np.linalg.norm(layout.affine[:3, :3], axis=0)
    return [2 if zoom <= 0.75 else 1 for zoom in zooms]


def _read_planes(stream: BinaryIO, layout: Layout, halved: tuple[int, ...]) -> Array:
    nx, ny, nz = layout.shape
    fx, fy, fz = halved
    plane = np.empty((fz, ny, nx), layout.dtype)
    probe = narrow(plane[:1, :1, :1])
    if halved == (1, 1, 1) and layout.dtype == probe.dtype:
        whole = np.empty((nz, ny, nx), layout.dtype)
        fill(stream, _bytes_of(whole))
        return whole.transpose(2, 1, 0)
    out = np.empty((nz // fz, ny // fy, nx // fx), probe.dtype)
    for z in range(nz // fz):
        fill(stream, _bytes_of(plane))
        out[z] = _averaged(narrow(plane), fx, fy)
    fill(stream, memoryview(bytearray((nz % fz) * ny * nx * layout.dtype.itemsize)))
    return out.transpose(2, 1, 0)


def _bytes_of(array: Array) -> memoryview:
    return memoryview(cast("Any", array)).cast("B")


def _averaged(planes: Array, fx: int, fy: int) -> Array:
    if planes.shape[0] == fx == fy == 1:
        return np.asarray(planes[0])
    _, ny, nx = planes.shape
    cut = planes[:, : ny // fy * fy, : nx // fx * fx].astype(np.float32)
    return np.asarray(cut.reshape(len(planes), ny // fy, fy, nx // fx, fx).mean((0, 2, 4)))
