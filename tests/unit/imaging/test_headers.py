"""What the gateway takes by its header is what preprocessing can decode."""

from __future__ import annotations

import io
import struct

import numpy as np

from imaging.headers import MGH_BYTES, check_mgh, is_mgh, plan_of
from imaging.sniff import Media, sniff
from preprocessing_service.formats import mgh


def test_both_doors_take_the_same_mgh_types_of_the_same_size() -> None:
    assert {code: np.dtype(kind).itemsize for code, kind in mgh.TYPES.items()} == MGH_BYTES


def test_unsigned_short_mgh_is_taken_at_the_gateway_and_read() -> None:
    voxels = np.arange(16**3, dtype=">u2").reshape(16, 16, 16)
    header = struct.pack(">7ih15f", 1, 16, 16, 16, 1, 10, 0, 0, *[0.0] * 15).ljust(284, b"\0")
    data = header + voxels.tobytes()
    assert is_mgh(data)
    assert sniff(data).media is Media.MGH
    assert check_mgh(data) == plan_of(data).ends == len(data)
    assert np.array_equal(mgh.read_mgh(io.BytesIO(data)).voxels.ravel("F"), voxels.ravel())
