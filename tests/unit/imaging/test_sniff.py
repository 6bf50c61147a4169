"""Containers are told by their first bytes, and headers that cannot be are refused."""

from __future__ import annotations

import gzip
import os
import struct
from contextlib import suppress

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadGeometry, BadVoxels, InputError, NotAVolume, NotThreeD, TooLarge
from imaging.sniff import PEEK, Media, sniff

VOXELS = np.zeros((5, 6, 7), np.int16)
NIFTI1 = nib.Nifti1Image(VOXELS, np.eye(4)).to_bytes()
NIFTI2 = nib.Nifti2Image(VOXELS, np.eye(4)).to_bytes()
MGH = nib.MGHImage(VOXELS, np.eye(4)).to_bytes()


def big_endian() -> bytes:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    return nib.Nifti1Image(VOXELS.astype(">i2"), np.eye(4), header).to_bytes()


def patched(data: bytes, at: int, code: str, *values: float) -> bytes:
    packed = struct.pack(code, *values)
    return data[:at] + packed + data[at + len(packed) :]


@pytest.mark.parametrize(
    ("data", "media"),
    [
        (NIFTI1, Media.NIFTI),
        (NIFTI2, Media.NIFTI),
        (big_endian(), Media.NIFTI),
        (MGH, Media.MGH),
        (gzip.compress(NIFTI1), Media.NIFTI_GZ),
        (gzip.compress(NIFTI2), Media.NIFTI_GZ),
        (gzip.compress(MGH), Media.MGZ),
        (b"PK\x03\x04" + bytes(40), Media.ZIP),
    ],
)
def test_known_containers(data: bytes, media: Media) -> None:
    assert sniff(data[:PEEK]).media is media


def test_promised_bytes_are_what_nibabel_writes() -> None:
    for data in (NIFTI1, NIFTI2, big_endian()):
        assert sniff(data).promised_bytes == len(data)
    promised = sniff(MGH).promised_bytes
    assert promised is not None
    assert promised == 284 + VOXELS.nbytes <= len(MGH)


def test_a_header_is_found_behind_a_long_gzip_name() -> None:
    plain = gzip.compress(NIFTI1)
    named = plain[:3] + b"\x08" + plain[4:10] + b"n" * 5000 + b"\0" + plain[10:]
    assert gzip.decompress(named) == NIFTI1
    assert sniff(named[:PEEK]).media is Media.NIFTI_GZ


def test_a_header_that_barely_compresses_fits_the_peek() -> None:
    noisy = NIFTI1[:148] + os.urandom(80) + NIFTI1[228:]
    assert sniff(gzip.compress(noisy, compresslevel=0)[:PEEK]).media is Media.NIFTI_GZ


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (NIFTI1[:344] + b"ni1\0", "zip the .hdr and .img"),
        (patched(bytes(348), 0, "<i", 348), "zip the .hdr and .img"),
        (b"PK\x05\x06" + bytes(18), "no entries"),
        (gzip.compress(b""), "empty stream"),
        (b"text", "74 65 78 74"),
    ],
)
def test_a_refusal_says_what_it_saw(data: bytes, words: str) -> None:
    with pytest.raises(NotAVolume, match=words):
        sniff(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (patched(NIFTI1, 40, "<h", 0), BadGeometry),
        (patched(NIFTI1, 40, "<h", 8), BadGeometry),
        (patched(NIFTI1, 42, "<h", -1), BadGeometry),
        (patched(NIFTI1, 42, "<h", 0), BadGeometry),
        (patched(NIFTI1, 42, "<h", 30000), TooLarge),
        (patched(NIFTI1, 42, "<h", 1), NotThreeD),
        (patched(NIFTI1, 40, "<5h", 4, 5, 6, 7, 2), NotThreeD),
        (patched(NIFTI1, 40, "<h", 2), NotThreeD),
        (patched(NIFTI1, 70, "<h", 128), BadVoxels),
        (patched(NIFTI1, 70, "<h", 77), BadVoxels),
        (patched(NIFTI1, 108, "<f", float("nan")), BadGeometry),
        (patched(NIFTI1, 108, "<f", -5), BadGeometry),
        (patched(NIFTI1, 0, "<i", 99), BadGeometry),
        (patched(NIFTI2, 24, "<q", 1 << 40), TooLarge),
        (patched(MGH, 16, ">i", 2), NotThreeD),
        (patched(MGH, 20, ">i", 2), BadVoxels),
        (patched(MGH, 4, ">i", 0), BadGeometry),
    ],
)
def test_headers_that_cannot_be(data: bytes, kind: type[InputError]) -> None:
    for sent in (data, gzip.compress(data)):
        with pytest.raises(kind):
            sniff(sent)


def test_one_frame_is_no_series() -> None:
    assert sniff(patched(NIFTI1, 40, "<5h", 4, 5, 6, 7, 1)).media is Media.NIFTI


@given(st.sampled_from([NIFTI1, NIFTI2, MGH]), st.integers(0, 200), st.binary(max_size=64))
def test_no_header_surprises_us(data: bytes, at: int, noise: bytes) -> None:
    with suppress(InputError):
        sniff(data[:at] + noise + data[at + len(noise) :])


@given(st.binary(max_size=600))
def test_no_bytes_surprise_us(data: bytes) -> None:
    for sent in (data, b"\x1f\x8b" + data, gzip.compress(data)):
        with suppress(InputError):
            assert sniff(sent).media in Media
