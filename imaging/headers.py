"""What a NIfTI or MGH header promises, checked on its bytes before anything is decoded.

NIfTI-1 and -2: https://nifti.nimh.nih.gov; MGH: https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from contracts.errors import BadGeometry, BadVoxels, NotThreeD, TooLarge, TruncatedFile
from imaging.limits import MAX_AXIS, MAX_DIMENSIONS

_NIFTI_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
"""NIfTI datatype code -> bytes a voxel, of the real scalar types."""
_NOT_INTENSITY = {1: "binary", 32: "complex64", 128: "RGB", 1792: "complex128", 2304: "RGBA"}
_NIFTI1 = (("8h", 40), ("h", 70), ("f", 108))
_NIFTI2 = (("8q", 16), ("h", 12), ("q", 168))
"""struct code and offset of dim, datatype and vox_offset."""
_MGH_BYTES = {0: 1, 1: 4, 3: 4, 4: 2}
"""MGH type code -> bytes a voxel."""
_MGH_DATA = 284


def is_nifti(head: bytes) -> bool:
    """A single-file NIfTI-1 or NIfTI-2 header of either byte order."""
    return head[344:348] == b"n+1\0" or head[4:12] == b"n+2\0\r\n\x1a\n"


def is_pair(head: bytes) -> bool:
    """The header half of a NIfTI .hdr/.img pair."""
    return head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0"


def is_analyze(head: bytes) -> bool:
    """An Analyze 7.5 header, which has no magic but its own size."""
    return head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c")


def is_mgh(head: bytes) -> bool:
    """An MGH header: version 1, plausible frames and type, big-endian."""
    if len(head) < 28:
        return False
    version, *dims, kind = struct.unpack(">6i", head[:24])
    return version == 1 and kind in {0, 1, 2, 3, 4} and all(0 <= n <= 1 << 20 for n in dims)


def check_nifti(head: bytes) -> int:
    """Bytes the file must have; NotThreeD, BadGeometry or BadVoxels when it cannot be one volume."""
    dims, kind, offset = nifti_fields(head)
    if not 1 <= dims[0] <= MAX_DIMENSIONS:
        most = MAX_DIMENSIONS
        raise BadGeometry(f"The header names {dims[0]} dimensions; 1 to {most} exist", dimensions=dims[0])
    _check_axes(dims[1 : 1 + dims[0]])
    if not (math.isfinite(offset) and 0 <= offset <= 1 << 30):
        raise BadGeometry(f"The voxels cannot start at byte {offset}", offset=str(offset))
    if kind not in _NIFTI_BYTES:
        name = _NOT_INTENSITY.get(kind, "unknown")
        raise BadVoxels(f"Voxels of type {name} (NIfTI datatype {kind}) are no intensities", datatype=kind)
    voxels: int = math.prod(dims[1:4])
    return int(offset) + voxels * _NIFTI_BYTES[kind]


def nifti_fields(head: bytes) -> tuple[tuple[int, ...], int, float]:
    """(dim, datatype, vox_offset) in the byte order in which sizeof_hdr makes sense."""
    size, layout = (540, _NIFTI2) if head[4:7] in (b"n+2", b"ni2") else (348, _NIFTI1)
    if len(head) < size:
        raise TruncatedFile("The file ends inside its NIfTI header; send it again")
    for order in "<>":
        if struct.unpack_from(order + "i", head)[0] == size:
            dim, kind, offset = (struct.unpack_from(order + code, head, at) for code, at in layout)
            return dim, kind[0], offset[0]
    raise BadGeometry(f"The NIfTI header gives its own size as {head[:4].hex()}, not {size}")


def check_mgh(head: bytes) -> int:
    """Bytes the file must have; NotThreeD, BadGeometry or BadVoxels when it cannot be one volume."""
    _, *dims, kind = struct.unpack(">6i", head[:24])
    _check_axes(dims)
    if kind not in _MGH_BYTES:
        raise BadVoxels(f"Voxels of MGH type {kind} are no intensities", datatype=kind)
    voxels: int = math.prod(dims)
    return _MGH_DATA + voxels * _MGH_BYTES[kind]


def _check_axes(dims: Sequence[int]) -> None:
    shape = "x".join(map(str, dims))
    if any(n < 1 for n in dims):
        raise BadGeometry(f"The image is {shape}; every axis needs a voxel", shape=shape)
    if any(n > 1 for n in dims[3:]):
        raise NotThreeD(f"The image is {shape}; send one 3-D volume, not a series of them", shape=shape)
    if len(dims) < 3 or min(dims[:3]) == 1:
        raise NotThreeD(
            f"The image is {shape}; a volume has more than one voxel along three axes", shape=shape
        )
    if max(dims) > MAX_AXIS:
        raise TooLarge(f"The image is {shape}; an axis may have {MAX_AXIS} voxels", shape=shape)
