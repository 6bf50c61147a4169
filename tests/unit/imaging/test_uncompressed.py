"""Of uncompressed pixels the values stay, and neither an overlay in unused bits nor bytes behind them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from contracts.errors import BadSeries, BadVoxels
from imaging import uncompressed
from imaging.dicom_file import UnreadableInstance
from imaging.instances import deidentify
from preprocessing_service.formats.pixels import pixels_of
from tests.hostile.dicom_files import Dataset, image

pytestmark = [pytest.mark.inputs, pytest.mark.privacy]

CANARY = b"Zqxcanary^Theodora"
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
VALUES = np.random.default_rng(3).integers(0, 256, (64, 64)).astype(np.uint16)


def sent(syntax: str, values: Any = VALUES, behind: bytes = b"", **about: Any) -> bytes:
    """A slice with these pixels, twelve bits of sixteen unless told."""
    plain: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}

    def change(data: Dataset, k: int) -> None:
        for name, value in (plain | about).items():
            setattr(data, name, value)
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        data.PixelData = values.astype(values.dtype.newbyteorder(order)).tobytes() + behind
        data["PixelData"].VR = "OW"

    one = pydicom.dcmread(io.BytesIO(image(0, change)))
    return written(one, syntax)


def written(one: Any, syntax: str) -> bytes:
    """In this transfer syntax; the pixels' bytes are already in its order."""
    one.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(out, one, implicit_vr=implicit, little_endian=little, force_encoding=True)
    return out.getvalue()


def read(data: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(data))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("stored", "high"), [(8, 7), (12, 11), (8, 15), (10, 12), (16, 15)])
def test_an_overlay_in_unused_bits_goes(syntax: str, stored: int, high: int) -> None:
    low = high - stored + 1
    mask = (1 << stored) - 1 << low
    values = VALUES << low | np.uint16(0xFFFF & ~mask)
    kept = read(deidentify(sent(syntax, values, BitsStored=stored, HighBit=high)))
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    assert np.array_equal(np.frombuffer(kept.PixelData, f"{order}u2").reshape(64, 64), VALUES << low)
    assert np.array_equal(pixels_of(kept, 0), VALUES)


@pytest.mark.parametrize("syntax", [*SYNTAXES, DeflatedExplicitVRLittleEndian])
def test_bytes_behind_the_pixels_go(syntax: str) -> None:
    kept = deidentify(sent(syntax, behind=CANARY))
    assert CANARY[:4] not in kept
    assert len(read(kept).PixelData) == VALUES.nbytes
    assert deidentify(kept) == kept


def test_signed_values_stay() -> None:
    values = VALUES.astype(np.int16) - 128
    kept = read(deidentify(sent(ExplicitVRLittleEndian, values, PixelRepresentation=1)))
    assert np.array_equal(pixels_of(kept, 0), values)


def test_odd_many_bytes_are_padded() -> None:
    values = VALUES[:63, :63].astype(np.uint8)
    about = {"Rows": 63, "Columns": 63, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    kept = read(deidentify(sent(ExplicitVRLittleEndian, values, CANARY + b"x", **about)))
    assert kept.PixelData == values.tobytes() + b"\0"


def test_many_pieces_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncompressed, "_PIECE", 1000)
    kept = read(deidentify(sent(ExplicitVRLittleEndian, VALUES | 0xF000)))
    assert np.array_equal(pixels_of(kept, 0), VALUES)


SHAPELESS: dict[str, dict[str, Any]] = {
    "no bits": {"BitsAllocated": 32},
    "no rows": {"Rows": 0},
    "bits that do not fit": {"BitsStored": 12, "HighBit": 3},
}


@pytest.mark.parametrize("kind", SHAPELESS)
def test_without_a_usable_shape_no_byte_is_kept(kind: str) -> None:
    values = np.frombuffer(CANARY * 512, np.uint16)[: VALUES.size]
    kept = deidentify(sent(ExplicitVRLittleEndian, values, **SHAPELESS[kind]))
    assert CANARY[:4] not in kept
    with pytest.raises((BadSeries, BadVoxels)):
        pixels_of(read(kept), 0)


def test_a_short_image_is_refused_as_such() -> None:
    with pytest.raises(BadSeries, match="ends inside its pixels"):
        pixels_of(read(deidentify(sent(ExplicitVRLittleEndian, VALUES[:-1]))), 0)


def test_items_without_compression_are_refused() -> None:
    data = bytearray(sent(ExplicitVRLittleEndian))
    at = data.index(b"\xe0\x7f\x10\0OW") + 8
    data[at:] = struct.pack("<LHHL", 0xFFFFFFFF, 0xFFFE, 0xE000, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    with pytest.raises(UnreadableInstance):
        deidentify(bytes(data))
