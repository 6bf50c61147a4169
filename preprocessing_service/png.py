"""PNG files of grey pictures with amber outlines: one byte a pixel, packed by igzip."""

from __future__ import annotations

import struct

import numpy as np
from isal import isal_zlib

from preprocessing_service.pictures import OUTLINE, Grey

SIGNATURE = b"\x89PNG\r\n\x1a\n"
AMBER = (255, 176, 0)
"""Told from grey by everybody."""

PALETTE = bytes(level for grey in range(OUTLINE) for level in (grey, grey, grey)) + bytes(AMBER)


def to_png(picture: Grey) -> bytes:
    """The picture (rows, columns) as an indexed PNG (ISO/IEC 15948)."""
    rows, columns = picture.shape
    header = struct.pack(">2I5B", columns, rows, 8, 3, 0, 0, 0)  # 8 bits, colour type 3: palette
    # Every line begins with its filter's number; 0 leaves it as it is.
    lines = np.pad(picture, ((0, 0), (1, 0)))
    packed = isal_zlib.compress(lines.tobytes(), level=1)
    chunks = ((b"IHDR", header), (b"PLTE", PALETTE), (b"IDAT", packed), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", isal_zlib.crc32(name + data))
