"""Analyze 7.5: a 348-byte header without magic, and an image beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, BinaryIO

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from contracts.errors import BadGeometry, BadVoxels
from imaging import limits
from preprocessing_service.formats.decode import Layout, decode, three_axes
from preprocessing_service.formats.streams import finish, read_exactly
from preprocessing_service.volume import ASSUMED, Matrix, Volume

HEADER_BYTES, ORIENT = 348, 252
_HEADER: Any = nibabel.analyze.AnalyzeHeader
AXES = {0: "LAS", 1: "LSA", 2: "ASL"}
"""`orient` byte -> what the stored axes run towards; 3 to 5 are the same with the second axis reversed."""


def looks_like_analyze(start: bytes) -> bool:
    """A header of 348 bytes in either byte order, without NIfTI's magic."""
    return HEADER_BYTES in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))


def read_analyze(header: BinaryIO, image: BinaryIO) -> Volume:
    """The volume of a header and its image; any InputError."""
    data = read_exactly(header, HEADER_BYTES)
    endianness = "<" if int.from_bytes(data[:4], "little") == HEADER_BYTES else ">"
    parsed: Any = _HEADER(data, endianness=endianness, check=False)
    count = int(parsed["dim"][0])
    if not 1 <= count <= limits.MAX_DIMENSIONS:
        raise BadGeometry(f"the header states {count} dimensions; 1 to {limits.MAX_DIMENSIONS} exist")
    shape = three_axes([int(n) for n in parsed["dim"][1 : count + 1]])
    try:
        dtype = np.dtype(parsed.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        raise BadVoxels(f"data type code {int(parsed['datatype'])} is not known") from error
    sizes = [abs(float(size)) for size in parsed["pixdim"][1:4]]
    if not np.isfinite(sizes).all() or min(sizes) <= 0:
        raise BadGeometry(f"voxel edges {sizes} mm are not usable")
    if 0 < float(parsed["vox_offset"]) <= limits.MAX_HEADER:
        read_exactly(image, int(parsed["vox_offset"]))
    volume = decode(image, Layout(shape, dtype, affine_of(data[ORIENT], sizes, shape)))
    finish(image, 4096)
    return replace(volume, facts=ASSUMED)


def affine_of(orient: int, sizes: list[float], shape: tuple[int, int, int]) -> Matrix:
    """Voxel -> mm (RAS+), the middle of the image at the origin; unknown codes count as axial."""
    codes = AXES.get(orient % 3 if 0 <= orient < 6 else 0, "LAS")
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        sign = -1.0 if code == "L" else 1.0
        if axis == 1 and 3 <= orient < 6:
            sign = -sign
        affine["LAS".index(code), axis] = sign * sizes[axis]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine
