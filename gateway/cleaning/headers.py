"""Where volume headers hold free text, and where the voxels end: NIfTI-1, NIfTI-2, Analyze 7.5, MGH."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import BadGeometry, NotAVolume
from gateway.headers import check_mgh, check_nifti, is_mgh, is_nifti, is_pair, nifti_fields

Span = tuple[int, int]

NIFTI1: tuple[Span, ...] = ((4, 32), (148, 252), (328, 344))
"""data_type and db_name; descrip and aux_file; intent_name."""

NIFTI2: tuple[Span, ...] = ((240, 344), (508, 524), (525, 540))
"""descrip and aux_file; intent_name; unused_str."""

ANALYZE: tuple[Span, ...] = ((4, 32), (56, 70), (148, 252), (253, 348))
"""The same, units, and what stands around `orient`: originator, scan number, patient, dates."""

MGH: tuple[Span, ...] = ((90, 284),)
"""Behind the 15 numbers of the geometry."""

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
        return Plan(MGH, check_mgh(head), MOST_TAGS)
    promised = check_nifti(head)
    least, text = (540, NIFTI2) if head[4:6] == b"n+" else (348, NIFTI1)
    offset = int(nifti_fields(head)[2])
    begins = offset or least + 4
    if begins < least:
        raise BadGeometry(f"The header puts the voxels at byte {offset}, inside itself", offset=offset)
    return Plan((*text, (least, begins)), promised + begins - offset)


def blank_pair(header: bytes) -> bytes:
    """The .hdr of a NIfTI or Analyze pair without its text and whatever follows it."""
    if header[4:8] == b"ni2\0":
        return blank(header[:540], 0, NIFTI2)
    return blank(header[:348], 0, NIFTI1 if is_pair(header) else ANALYZE)


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
