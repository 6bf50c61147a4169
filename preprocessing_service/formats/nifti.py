"""NIfTI-1 and NIfTI-2 (one file, or a header with its image), read from the bytes of the header."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, BinaryIO

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from contracts.errors import BadGeometry, BadVoxels, CorruptFile
from imaging import limits
from preprocessing_service.formats.decode import Layout, decode, three_axes
from preprocessing_service.formats.streams import finish, read_exactly
from preprocessing_service.volume import ASSUMED, Matrix, Volume

SIZES = {1: 348, 2: 540}
MAGICS = {b"n+1\0": (1, True), b"ni1\0": (1, False), b"n+2\0": (2, True), b"ni2\0": (2, False)}
METRES, MICRONS = 1, 3


def version_of(start: bytes) -> int:
    """1 or 2 when `start` opens a NIfTI header, else 0."""
    for version, size in SIZES.items():
        if size in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
            magic = start[344:348] if version == 1 else start[4:8]
            return version if magic in MAGICS else 0
    return 0


def read_nifti(header: BinaryIO, image: BinaryIO | None = None) -> Volume:
    """The volume of one file, or of a header and its image; any InputError."""
    start = read_exactly(header, SIZES[1])
    version = version_of(start)
    start += read_exactly(header, SIZES[version] - SIZES[1])
    parsed = parse(start, version)
    layout = layout_of(parsed)
    if image is None:
        read_exactly(header, offset_of(parsed) - len(start))
        image = header
    elif 0 < float(parsed["vox_offset"]) <= limits.MAX_HEADER:
        read_exactly(image, int(parsed["vox_offset"]))
    volume = decode(image, layout)
    finish(image, 4096)
    return volume if is_oriented(parsed) else replace(volume, facts=ASSUMED)


def is_oriented(header: Any) -> bool:
    """Whether a matrix of the header says how the voxels lie."""
    return max(int(header["sform_code"]), int(header["qform_code"])) > 0


def parse(data: bytes, version: int) -> Any:
    """nibabel's header over these bytes, unchecked: every field is judged here."""
    kind: Any = nibabel.nifti1.Nifti1Header if version == 1 else nibabel.nifti2.Nifti2Header
    endianness = "<" if int.from_bytes(data[:4], "little") == SIZES[version] else ">"
    return kind(data, endianness=endianness, check=False)


def offset_of(header: Any) -> int:
    """Where the voxels begin; CorruptFile for an impossible place."""
    offset = float(header["vox_offset"])
    least = len(header.binaryblock)
    if not least <= offset <= least + limits.MAX_HEADER:
        # 0 is written by tools that mean "right behind the header".
        if offset == 0:
            return least + 4
        raise CorruptFile(f"the header puts the voxels at byte {offset}")
    return int(offset)


def layout_of(header: Any) -> Layout:
    """Dimensions, type, scaling and affine, each checked before a voxel is read."""
    count = int(header["dim"][0])
    if not 1 <= count <= limits.MAX_DIMENSIONS:
        raise BadGeometry(f"the header states {count} dimensions; 1 to {limits.MAX_DIMENSIONS} exist")
    shape = three_axes([int(n) for n in header["dim"][1 : count + 1]])
    try:
        dtype = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        raise BadVoxels(f"data type code {int(header['datatype'])} is not known") from error
    if dtype.itemsize * 8 != int(header["bitpix"]):
        raise CorruptFile(f"{int(header['bitpix'])} bits a voxel do not fit the data type {dtype}")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0:
        slope, intercept = 1.0, 0.0
    return Layout(shape, dtype, affine_of(header), slope, intercept if np.isfinite(intercept) else 0.0)


def affine_of(header: Any) -> Matrix:
    """sform, else qform, else bare voxel sizes: the order of the NIfTI-1 standard; BadGeometry."""
    sform = _usable(_sform(header)) if int(header["sform_code"]) > 0 else None
    qform = _usable(_qform(header)) if int(header["qform_code"]) > 0 else None
    if sform is not None and qform is not None and _mirrored(sform, qform):
        raise BadGeometry("sform and qform disagree about left and right")
    chosen = sform if sform is not None else qform
    if chosen is None and not is_oriented(header) and (header["pixdim"][1:4] > 0).all():
        chosen = _usable(header.get_base_affine())
    if chosen is None:
        raise BadGeometry("neither sform, qform nor voxel sizes give a usable affine")
    unit = {METRES: 1000.0, MICRONS: 0.001}.get(int(header["xyzt_units"]) & 7, 1.0)
    return np.diag([unit, unit, unit, 1.0]) @ chosen


def _mirrored(one: Matrix, other: Matrix) -> bool:
    return bool(np.linalg.det(one[:3, :3]) * np.linalg.det(other[:3, :3]) < 0)


def _sform(header: Any) -> Matrix:
    return np.asarray(header.get_sform(), dtype=np.float64)


def _qform(header: Any) -> Matrix | None:
    # The standard knows -1 and 1; 0, which many tools write, means 1.
    header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):  # a quaternion that is none
        return None


def _usable(affine: Matrix | None) -> Matrix | None:
    if affine is None or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        return None
    return np.asarray(affine, dtype=np.float64)
