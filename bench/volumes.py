"""Volumes to send: whole heads and headers alone, each under a digest of its own."""

from __future__ import annotations

import struct
from pathlib import Path


def copies(volume: Path, folder: Path, count: int, *, first: int = 0) -> list[Path]:
    """The same head under `count` different digests: only the time in the gzip header differs."""
    body = bytearray(volume.read_bytes())
    made = []
    for number in range(first, first + count):
        body[4:8] = (number + 1).to_bytes(4, "little")
        made.append(folder / f"head{number:05d}.nii.gz")
        made[-1].write_bytes(body)
    return made


def tiny(number: int) -> bytes:
    """A NIfTI-1 file of 8 x 8 x 8 bytes whose voxels spell `number`."""
    return header((8, 8, 8)) + number.to_bytes(8, "little") * 64


def header(shape: tuple[int, int, int], *, doubles: bool = False) -> bytes:
    """The 352 bytes before the voxels of a 1 mm NIfTI-1 file of bytes or of float64."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, *((64, 64) if doubles else (2, 8)))
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<3f", head, 108, 352, 1, 0)
    struct.pack_into("<2h", head, 252, 0, 1)
    for row in range(3):
        struct.pack_into("<4f", head, 280 + 16 * row, *(float(row == column) for column in range(4)))
    head[344:348] = b"n+1\0"
    return bytes(head)
