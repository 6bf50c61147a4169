"""FreeSurfer's MGH and MGZ, after its file format page (284 header bytes, big-endian)."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from contracts.errors import BadVoxels
from imaging import limits
from preprocessing_service.formats.decode import Layout, decode, three_axes
from preprocessing_service.formats.streams import finish, read_exactly
from preprocessing_service.volume import ASSUMED, Matrix, Volume

HEADER = struct.Struct(">7ih15f")
HEADER_BYTES = 284
TYPES = {0: "u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
CORONAL = (1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
"""Voxel sizes, direction cosines and centre that FreeSurfer assumes when a header gives none."""


def looks_like_mgh(start: bytes) -> bool:
    """Version 1, big-endian, and a first dimension that is no surprise."""
    return start[:4] == b"\0\0\0\1" and start[4:6] == b"\0\0"


def read_mgh(stream: BinaryIO) -> Volume:
    """The volume of one MGH stream; any InputError."""
    fields = HEADER.unpack(read_exactly(stream, HEADER_BYTES)[: HEADER.size])
    shape = three_axes(list(fields[1:5]))
    if fields[5] not in TYPES:
        raise BadVoxels(f"MGH type code {fields[5]} is no intensity")
    geometry = fields[8:] if fields[7] > 0 else CORONAL
    volume = decode(stream, Layout(shape, np.dtype(TYPES[fields[5]]), affine_of(geometry, shape)))
    finish(stream, limits.MAX_TRAILING)
    return volume if fields[7] > 0 else replace(volume, facts=ASSUMED)


def affine_of(geometry: tuple[float, ...], shape: tuple[int, int, int]) -> Matrix:
    """Voxel -> mm (RAS+) from sizes (3), direction cosines by column (9) and the centre (3)."""
    affine = np.eye(4)
    with np.errstate(all="ignore"):
        affine[:3, :3] = np.reshape(geometry[3:12], (3, 3)).T * np.array(geometry[:3])
        affine[:3, 3] = np.array(geometry[12:15]) - affine[:3, :3] @ (np.array(shape) / 2)
    return affine
