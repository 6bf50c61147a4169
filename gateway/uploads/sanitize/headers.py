"""Where volume headers hold free text, and where the voxels end: NIfTI-1, NIfTI-2, Analyze 7.5, MGH."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from contracts.errors import BadGeometry, NotAVolume
from imaging.headers import check_mgh, check_nifti, is_mgh, is_nifti, is_pair, nifti_fields

Span = tuple[int, int]

NIFTI1: tuple[Span, ...] = ((4, 38), (56, 70), (74, 76), (120, 123), (124, 252), (328, 344))
"""To session_error; intent; slice_start; slice_end, slice_code; cal_max to aux_file, intent_name."""

NIFTI2: tuple[Span, ...] = ((80, 104), (192, 344), (496, 500), (504, 524), (525, 540))
"""Intent's parameters; cal_max to aux_file; slice_code; intent_code and intent_name; unused_str."""

ANALYZE: tuple[Span, ...] = ((4, 38), (39, 40), (56, 70), (74, 76), (112, 252), (253, 348))
"""All but sizes, type, scale of the axes, where the voxels begin, and `orient`."""

MGH: tuple[Span, ...] = ((90, 284),)
"""Behind the 15 numbers of the geometry."""

MGH_WITHOUT_GEOMETRY: tuple[Span, ...] = ((30, 284),)
"""The same where `goodRASFlag` says that the 15 numbers count for nothing."""

MOST_TAGS = 1 << 20
"""Bytes that may follow an MGH's voxels: its tags hold the commands that made it, with paths and names."""

MOST_PADDING = 4096
"""Bytes that may follow the voxels of other formats."""


@dataclass(frozen=True)
class Plan:
    """text: spans of bytes to blank. ends: bytes that are kept at most. beyond: bytes that may follow."""

    text: tuple[Span, ...]
    ends: int
    beyond: int = MOST_PADDING


def plan_of(head: bytes) -> Plan:
    """What to keep of the single-file volume that starts with `head`; the InputError its header earns."""
    if not is_nifti(head):
        if not is_mgh(head):
            raise NotAVolume("The content is neither NIfTI nor MGH")
        good = int.from_bytes(head[28:30], "big", signed=True) > 0
        return Plan(MGH if good else MGH_WITHOUT_GEOMETRY, check_mgh(head), MOST_TAGS)
    promised = check_nifti(head)
    least, text = (540, NIFTI2) if head[4:6] == b"n+" else (348, NIFTI1)
    offset = int(nifti_fields(head)[2])
    begins = offset or least + 4
    if begins < least:
        raise BadGeometry(f"The header puts the voxels at byte {offset}, inside itself", offset=offset)
    return Plan((*text, *unread(head), (least, begins)), promised + begins - offset)


def unread(head: bytes, *, matrices: bool = True) -> tuple[Span, ...]:
    """Spans of a header whose fields count for nothing and hold no usual number: axes that are not there,
    matrices without a code.

    matrices: whether it has them, as NIfTI does.
    """
    two = matrices and (head[4:6] == b"n+" or head[4:8] == b"ni2\0")
    dim, size, pixdim, edge = (16, 8, 104, 8) if two else (40, 2, 76, 4)
    order = "<" if int.from_bytes(head[:4], "little") in (348, 540) else ">"
    spare: list[tuple[Span, str]] = [((pixdim + 4 * edge, pixdim + 8 * edge), _REAL[edge])]
    (axes,) = struct.unpack_from(order + _WHOLE[size], head, dim)
    if 1 <= axes < 7:
        spare.append(((dim + size * (1 + axes), dim + size * 8), _WHOLE[size]))
    for code, at, words in _CODED[two] if matrices else ():
        if struct.unpack_from(order + ("i" if two else "h"), head, code)[0] <= 0:
            spare.append(((at, at + words * edge), _REAL[edge]))
    return tuple(span for span, kind in spare if not _usual(head[slice(*span)], order, kind))


_WHOLE, _REAL = {2: "h", 8: "q"}, {4: "f", 8: "d"}
_CODED = {False: ((252, 256, 6), (254, 280, 12)), True: ((344, 352, 6), (348, 400, 12))}
"""NIfTI-2 or not -> places of qform_code and sform_code, of what each is about, and how many numbers."""


def _usual(field: bytes, order: str, kind: str) -> bool:
    """Numbers that a header has where nobody looks; the bytes of text are much larger or smaller ones."""
    count = len(field) // struct.calcsize(kind)
    values = struct.unpack(f"{order}{count}{kind}", field)
    return all(value == 0 or 1e-3 <= abs(value) <= 512 for value in values)


def blank_pair(header: bytes) -> bytes:
    """The .hdr of a NIfTI or Analyze pair without text and what follows it; voxels begin at byte 0."""
    if header[4:8] == b"ni2\0":
        return blank(header[:540], 0, (*NIFTI2, (168, 176), *unread(header)))
    if is_pair(header):
        return blank(header[:348], 0, (*NIFTI1, (108, 112), *unread(header)))
    return blank(header[:348], 0, (*ANALYZE, (108, 112), *unread(header, matrices=False)))


def voxels_of_pair(header: bytes) -> Span:
    """Where the voxels lie in the .img of a pair; the InputError its header earns."""
    ends = check_nifti(header)  # Analyze has the same fields at the same places
    return int(nifti_fields(header)[2]), ends


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
