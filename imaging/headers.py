"""Headers of NIfTI-1, NIfTI-2, Analyze 7.5 and MGH: what they promise, and where they hold free text.

A header is checked on its bytes before anything is decoded, and blanked before anything is stored.
NIfTI: https://nifti.nimh.nih.gov; MGH: https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.errors import BadGeometry, BadVoxels, NotAVolume, NotThreeD, TooLarge, TruncatedFile
from imaging.limits import MAX_AXIS, MAX_DIMENSIONS, MAX_TRAILING

Span = tuple[int, int]
"""First byte and the one behind the last."""

NIFTI_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
"""NIfTI datatype code -> bytes a voxel, of the real scalar types."""
_NOT_INTENSITY = {1: "binary", 32: "complex64", 128: "RGB", 1792: "complex128", 2304: "RGBA"}
MGH_BYTES = {0: 1, 1: 4, 3: 4, 4: 2, 10: 2}
"""MGH type code -> bytes a voxel."""
_MGH_LONG = 2
_MGH_SIZE = 284

_PADDING = 4096
"""Bytes that may follow the voxels; MGH keeps its tags there, the commands that made it."""


@dataclass(frozen=True)
class _Layout:
    """Where a NIfTI header holds what, in bytes. integer, real: struct codes of its numbers.

    coded: places of qform_code and sform_code, of the numbers each is about, and how many these are.
    """

    size: int
    dim: int
    datatype: int
    offset: int
    pixdim: int
    integer: str
    real: str
    offset_code: str
    coded: tuple[tuple[int, int, int], ...]
    text: tuple[Span, ...]


_NIFTI1 = _Layout(
    348, dim=40, datatype=70, offset=108, pixdim=76, integer="h", real="f", offset_code="f",
    coded=((252, 256, 6), (254, 280, 12)),
    # To session_error; intent; slice_start; slice_end, slice_code; cal_max to aux_file, intent_name.
    text=((4, 38), (56, 70), (74, 76), (120, 123), (124, 252), (328, 344)),
)  # fmt: skip
_NIFTI2 = _Layout(
    540, dim=16, datatype=12, offset=168, pixdim=104, integer="q", real="d", offset_code="q",
    coded=((344, 352, 6), (348, 400, 12)),
    # Intent's parameters; cal_max to aux_file; slice_code; intent_code and intent_name; unused_str.
    text=((80, 104), (192, 344), (496, 500), (504, 524), (525, 540)),
)  # fmt: skip
_ANALYZE_TEXT: tuple[Span, ...] = ((4, 38), (39, 40), (56, 70), (74, 76), (112, 252), (253, 348))
"""All but sizes, type, scale of the axes, where the voxels begin, and `orient`. The rest is as in NIfTI-1."""
_MGH_TEXT: Span = (90, _MGH_SIZE)
"""Behind the 15 numbers of the geometry."""
_MGH_TEXT_WITHOUT_GEOMETRY: Span = (30, _MGH_SIZE)
"""The same where `goodRASFlag` says that the 15 numbers count for nothing."""


@dataclass(frozen=True)
class Plan:
    """text: spans of bytes to blank. ends: bytes that are kept at most. beyond: bytes that may follow."""

    text: tuple[Span, ...]
    ends: int
    beyond: int = _PADDING


@dataclass(frozen=True)
class _Nifti:
    """The fields of a NIfTI or Analyze header that matter here."""

    layout: _Layout
    order: str
    dims: tuple[int, ...]
    datatype: int
    offset: float


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
    return version == 1 and kind in {_MGH_LONG, *MGH_BYTES} and all(0 <= n <= 1 << 20 for n in dims)


def check_nifti(head: bytes) -> int:
    """Bytes the file must have; NotThreeD, BadGeometry or BadVoxels when it cannot be one volume."""
    return _promised(_nifti(head))


def check_mgh(head: bytes) -> int:
    """Bytes the file must have; NotThreeD, BadGeometry or BadVoxels when it cannot be one volume."""
    _, *dims, kind = struct.unpack(">6i", head[:24])
    _check_axes(dims)
    if kind not in MGH_BYTES:
        raise BadVoxels(f"Voxels of MGH type {kind} are no intensities", datatype=kind)
    voxels: int = math.prod(dims)
    return _MGH_SIZE + voxels * MGH_BYTES[kind]


def plan_of(head: bytes) -> Plan:
    """What to keep of the single-file volume that starts with `head`; the InputError its header earns."""
    if is_nifti(head):
        return _nifti_plan(head)
    if not is_mgh(head):
        raise NotAVolume("The content is neither NIfTI nor MGH")
    good = int.from_bytes(head[28:30], "big", signed=True) > 0
    text = _MGH_TEXT if good else _MGH_TEXT_WITHOUT_GEOMETRY
    return Plan((text,), check_mgh(head), MAX_TRAILING)


def _nifti_plan(head: bytes) -> Plan:
    header = _nifti(head)
    promised, offset, size = _promised(header), int(header.offset), header.layout.size
    begins = offset or size + 4
    if begins < size:
        raise BadGeometry(f"The header puts the voxels at byte {offset}, inside itself", offset=offset)
    text = (*header.layout.text, *_unread(header, head), (size, begins))
    return Plan(text, promised + begins - offset)


def blank_pair(head: bytes) -> bytes:
    """The .hdr of a NIfTI or Analyze pair without text and what follows it; voxels begin at byte 0."""
    header = _nifti(head)
    layout = header.layout
    text = layout.text if is_pair(head) else _ANALYZE_TEXT
    begins = (layout.offset, layout.offset + struct.calcsize(layout.offset_code))
    unread = _unread(header, head, matrices=is_pair(head))
    return blank(head[: layout.size], 0, (*text, begins, *unread))


def voxels_of_pair(head: bytes) -> Span:
    """Where the voxels lie in the .img of a pair; the InputError its header earns."""
    header = _nifti(head)
    return int(header.offset), _promised(header)


def blank(piece: bytes, at: int, spans: tuple[Span, ...]) -> bytes:
    """The piece, which lies at byte `at` of its file, with zeros in the spans."""
    hit = [
        (max(lo - at, 0), min(hi - at, len(piece))) for lo, hi in spans if lo < at + len(piece) and hi > at
    ]
    if not hit:
        return piece
    out = bytearray(piece)
    for lo, hi in hit:
        out[lo:hi] = bytes(hi - lo)
    return bytes(out)


def _nifti(head: bytes) -> _Nifti:
    """In the byte order in which sizeof_hdr makes sense; Analyze has the same fields at the same places."""
    layout = _NIFTI2 if head[4:7] in (b"n+2", b"ni2") else _NIFTI1
    if len(head) < layout.size:
        raise TruncatedFile("The file ends inside its NIfTI header; send it again")
    for order in "<>":
        if struct.unpack_from(order + "i", head)[0] == layout.size:
            dims = struct.unpack_from(f"{order}8{layout.integer}", head, layout.dim)
            (kind,) = struct.unpack_from(order + "h", head, layout.datatype)
            (offset,) = struct.unpack_from(order + layout.offset_code, head, layout.offset)
            return _Nifti(layout, order, dims, kind, offset)
    raise BadGeometry(f"The NIfTI header gives its own size as {head[:4].hex()}, not {layout.size}")


def _promised(header: _Nifti) -> int:
    """Bytes the file, or the image of a pair, must have."""
    dims, kind, offset = header.dims, header.datatype, header.offset
    if not 1 <= dims[0] <= MAX_DIMENSIONS:
        most = MAX_DIMENSIONS
        raise BadGeometry(f"The header names {dims[0]} dimensions; 1 to {most} exist", dimensions=dims[0])
    _check_axes(dims[1 : 1 + dims[0]])
    if not (math.isfinite(offset) and 0 <= offset <= 1 << 30):
        raise BadGeometry(f"The voxels cannot start at byte {offset}", offset=str(offset))
    if kind not in NIFTI_BYTES:
        name = _NOT_INTENSITY.get(kind, "unknown")
        raise BadVoxels(f"Voxels of type {name} (NIfTI datatype {kind}) are no intensities", datatype=kind)
    return int(offset) + math.prod(dims[1:4]) * NIFTI_BYTES[kind]


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


def _unread(header: _Nifti, head: bytes, *, matrices: bool = True) -> tuple[Span, ...]:
    """Spans of fields that count for nothing and hold no usual number: axes that are not there, matrices
    without a code.

    matrices: whether the header has them, as NIfTI does.
    """
    layout, order, axes = header.layout, header.order, header.dims[0]
    whole, edge = struct.calcsize(layout.integer), struct.calcsize(layout.real)
    spare = [((layout.pixdim + 4 * edge, layout.pixdim + 8 * edge), layout.real)]
    if 1 <= axes < 7:
        spare.append(((layout.dim + whole * (1 + axes), layout.dim + whole * 8), layout.integer))
    for code, at, count in layout.coded if matrices else ():
        if struct.unpack_from(order + ("i" if edge == 8 else "h"), head, code)[0] <= 0:
            spare.append(((at, at + count * edge), layout.real))
    return tuple(span for span, kind in spare if not _usual(head[slice(*span)], order + kind))


def _usual(field: bytes, kind: str) -> bool:
    """Numbers that a header has where nobody looks; the bytes of text are much larger or smaller ones."""
    values = (value for (value,) in struct.iter_unpack(kind, field))
    return all(value == 0 or 1e-3 <= abs(value) <= 512 for value in values)
