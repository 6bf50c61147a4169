"""Whether bytes are the start of a DICOM file; known to those too who never load pydicom."""

from __future__ import annotations

import struct

META, IDENTIFYING = b"\x02\0", b"\x08\0"
"""Groups, little endian, with which a data set starts: its meta group, else the group that identifies it."""

VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW "
    b"PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)


def looks_like_dicom(start: bytes) -> bool:
    """The DICM mark behind a preamble (PS3.10), or a data set without both, as old archives keep."""
    return start[128:132] == b"DICM" or is_bare(start)


def is_bare(start: bytes) -> bool:
    """The first element of a data set or of its meta group: group 2 or 8, a short value of a known type."""
    if len(start) < 12 or start[:2] not in (META, IDENTIFYING):
        return False
    if start[4:6] in VRS:
        return True
    element, length = struct.unpack_from("<HL", start, 2)
    return start[:2] == IDENTIFYING and element <= 0x18 and length <= 1024 and not length % 2
