"""Files made to get past what the others had taught us: polyglots, lying codestreams, crowds of elements."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.hostile.archives import NOT, directory, entry, zipped
from tests.hostile.case import Case, case, nifti, patched, voxels
from tests.hostile.dicom_files import SERIES, Change, image, of
from tests.hostile.lying_headers import NOISE, QFORM, SFORM


def with_zip_inside(data: Dataset, k: int) -> None:
    """An archive as the pixels."""
    packed = zipped({"scan.nii": nifti()})
    data.PixelData = packed + bytes(len(packed) % 2)


def polyglot() -> bytes:
    """A DICOM file whose preamble begins like a zip archive."""
    one = image(0, lambda data, k: None)
    return b"PK\3\4" + one[4:]


def crowded(count: int) -> bytes:
    """One slice with very many private elements of two bytes."""
    one = image(0, lambda data, k: None)
    at = one.index(b"\x20\x00\x0d\x00UI")
    group = b"".join(struct.pack("<2H2sH2s", 0x0011 + 2 * (n >> 15), 0x1000 + (n & 0x7FFF), b"LO", 2, b"A ")
                     for n in range(count))  # fmt: skip
    return one[:at] + group + one[at:]


def squeezed(syntax: str, codestream: bytes) -> Change:
    """Pixels that are this codestream."""

    def change(data: Dataset, k: int) -> None:
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([codestream])
        data["PixelData"].is_undefined_length = True

    return change


def huge_jpeg_2000() -> bytes:
    """A codestream that states 65,000 x 65,000 pixels, and ends."""
    size = struct.pack(">2H8LH3B", 41, 0, 65000, 65000, 0, 0, 65000, 65000, 0, 0, 1, 15, 1, 1)
    style = struct.pack(">2HBHB5B", 0xFF52, 12, 0, 1, 0, 5, 4, 4, 0, 1)
    return b"\xff\x4f\xff\x51" + size + style + b"\xff\xd9"


def huge_jpeg_ls() -> bytes:
    """The same as JPEG-LS."""
    frame = struct.pack(">2HB2HB3B", 0xFFF7, 11, 16, 65000, 65000, 1, 1, 0x11, 0)
    return b"\xff\xd8" + frame + struct.pack(">2H6B", 0xFFDA, 8, 1, 1, 0, 0, 0, 0) + b"\0" * 64 + b"\xff\xd9"


def endless_rle() -> bytes:
    """Runs of 128 bytes without end, under an offset table that points behind itself."""
    return struct.pack("<16L", 2, 64, 0xFFFFFFF0, *([0] * 13)) + b"\x81\0" * 200_000


def loud(data: Dataset, k: int) -> None:
    """Character sets that nobody has, and a name in one of them."""
    data.SpecificCharacterSet = ["ISO 2022 IR 999", "GB18030", "\\\\"]
    data.PatientName = "Zqxcanary"


def quaternion() -> bytes:
    """A rotation that is none."""
    return patched(nifti(), (SFORM, "<h", 0), (QFORM, "<h", 1), (256, "<3f", (1e20, -1e20, float("inf"))))


def chained() -> bytes:
    """An extension of no size in front of the voxels."""
    body = nifti()
    return patched(body[:348] + b"\1\0\0\0" + bytes(16) + body[352:], (108, "<f", 368.0))


def far_away() -> bytes:
    """A zip64 entry whose size and place are near 2^63."""
    packed = zlib.compress(bytes(100), 9)[2:-4]
    extra = struct.pack("<2H3Q", 1, 24, 1 << 62, 1 << 62, 1 << 62)
    local, central = entry(b"a.nii", packed, 0xFFFFFFFF, 0, 0xFFFFFFFF)
    central = (
        central[:20] + b"\xff" * 4 + central[24:30] + struct.pack("<H", len(extra)) + central[32:] + extra
    )
    return local + directory([central], len(local))


def twice() -> bytes:
    """Two entries of one name: which of them is it?"""
    data = nifti(voxels((16, 16, 16)))
    one, other = zlib.compress(data, 1)[2:-4], zlib.compress(bytes(len(data)), 1)[2:-4]
    first, about = entry(b"scan.nii", one, len(data), zlib.crc32(data), 0)
    second, also = entry(b"scan.nii", other, len(data), zlib.crc32(bytes(len(data))), len(first))
    return first + second + directory([about, also], len(first + second))


def members(_: Path) -> bytes:
    """A gzip file in 10,000 pieces, each with a header of its own."""
    whole = nifti()
    return b"".join(gzip.compress(whole[at : at + 53], 1) for at in range(0, len(whole), 53))


CASES: list[Case] = [
    of("zip as pixels", NOISE, with_zip_inside),
    case("DICOM with a zip's first bytes", "input.corrupt input.not_a_volume input.bad_series", polyglot()),
    case(
        "DICOM of 200,000 elements",
        SERIES + " input.not_3d input.too_large",
        lambda _: zipped({"a": crowded(200_000)}),
    ),
    of("JPEG 2000 of 65,000 x 65,000", SERIES, squeezed(JPEG2000Lossless, huge_jpeg_2000())),
    of("JPEG-LS of 65,000 x 65,000", SERIES, squeezed(JPEGLSLossless, huge_jpeg_ls())),
    of("RLE without end", SERIES, squeezed(RLELossless, endless_rle())),
    of("unknown character sets", NOISE, loud),
    case("quaternion of infinity", "input.bad_geometry", quaternion()),
    case("extension of no size", NOISE + " input.corrupt input.bad_geometry", chained()),
    case("zip entry at 2^62", "input.too_large input.corrupt", far_away()),
    case("zip of two equal names", NOT, twice()),
    case("gzip of 10,000 members", NOISE, members),
    case("series in a series", NOT, zipped({"a": zipped({"b": image(0, lambda data, k: None)})})),
]  # fmt: skip
