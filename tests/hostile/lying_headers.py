"""NIfTI, MGH and gzip files whose headers lie, whose bytes end early, or whose types are unusual."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip

from tests.hostile.case import Case, case, nifti, patched, voxels

DIM, TYPE, BITS, PIXDIM, OFFSET, SLOPE, QFORM, SFORM, SROW = 40, 70, 72, 76, 108, 112, 252, 254, 280
"""Byte offsets of NIfTI-1 header fields."""

NOISE = "quality.not_a_head quality.registration quality.noise quality.coverage quality.not_t1w"
"""How readable noise may end."""


def bomb(path: Path) -> None:
    """10 GiB of zeros in 10 MB of gzip members behind a good header."""
    start = nifti()
    zeros = igzip.compress(bytes(1 << 26), 1)
    with path.open("wb") as out:
        out.write(gzip.compress(start))
        for _ in range(160):
            out.write(zeros)


def promised_bomb(path: Path) -> None:
    """A header that asks for as many voxels as there may be, and zeros that deliver them."""
    header = patched(nifti()[:352], (DIM, "<4h", (3, 512, 512, 200)), (TYPE, "<2h", (4, 16)),
                     (PIXDIM + 4, "<3f", (0.5, 0.5, 0.5)), (SFORM, "<h", 0), (QFORM, "<h", 0))  # fmt: skip
    zeros = igzip.compress(bytes(1 << 26), 1)
    with path.open("wb") as out:
        out.write(gzip.compress(header))
        for _ in range(2):
            out.write(zeros)


def two_gigabytes(path: Path) -> None:
    """A good small volume and 2 GiB of nothing behind it (a sparse file)."""
    path.write_bytes(nifti())
    with path.open("r+b") as out:
        out.truncate(2 << 30)


def named_gzip(path: Path) -> bytes:
    """The gzip member's own file name leads out of the folder; nobody must use it."""
    packed = bytearray(gzip.compress(b"a letter " * 100))
    packed[3] |= 8
    return bytes(packed[:10]) + b"../../../../etc/passwd\0" + bytes(packed[10:])


def mgh(changes: dict[int, int] | None = None) -> bytes:
    """A small MGH file with some of its seven first integers replaced."""
    fields = [1, 32, 32, 32, 1, 0, 0]
    for place, value in (changes or {}).items():
        fields[place] = value
    return struct.pack(">7i", *fields) + bytes(256) + bytes(range(256)) * 128


def truncated() -> list[Case]:
    """Cut at every byte where something begins or ends."""
    whole, packed = nifti(), gzip.compress(nifti(), 1)
    cuts = [4, 40, 344, 347, 348, 351, 352, 353, len(whole) // 2, len(whole) - 1]
    plain = [case(f"cut at {n}", "input.truncated input.not_a_volume", whole[:n]) for n in cuts]
    cuts = [2, 9, 10, 11, 18, 100, 300, len(packed) // 2, len(packed) - 9, len(packed) - 8, len(packed) - 1]
    kinds = "input.truncated input.not_a_volume input.corrupt"
    return plain + [case(f"gzip cut at {n}", kinds, packed[:n]) for n in cuts]


def headers() -> list[Case]:
    """One lie each."""
    good = nifti()
    bare = patched(good, (SFORM, "<h", 0), (QFORM, "<h", 0))
    lies = {
        "dim[0] 0": ("input.corrupt input.bad_geometry", [(DIM, "<h", 0)]),
        "dim[0] 8": ("input.corrupt input.bad_geometry", [(DIM, "<h", 8)]),
        "dim[0] -1": ("input.corrupt input.bad_geometry", [(DIM, "<h", -1)]),
        "negative dim": ("input.bad_geometry", [(DIM + 2, "<h", -64)]),
        "zero dim": ("input.bad_geometry", [(DIM + 2, "<h", 0)]),
        "huge dims": ("input.too_large", [(DIM + 2, "<3h", (32767, 32767, 32767))]),
        "dims beyond the file": ("input.truncated", [(DIM + 2, "<3h", (128, 128, 128))]),
        "4-D": ("input.not_3d", [(DIM, "<5h", (4, 32, 32, 32, 8))]),
        "one slice": ("input.not_3d", [(DIM, "<4h", (3, 64, 64, 1))]),
        "2-D": ("input.not_3d", [(DIM, "<3h", (2, 64, 64))]),
        "seven 1s": ("input.not_3d", [(DIM, "<8h", (7, 1, 1, 1, 1, 1, 1, 1))]),
        "datatype 0": ("input.bad_voxels input.corrupt", [(TYPE, "<h", 0)]),
        "datatype 7777": ("input.bad_voxels", [(TYPE, "<h", 7777)]),
        "binary": ("input.bad_voxels input.corrupt", [(TYPE, "<2h", (1, 1))]),
        "bitpix lies": ("input.corrupt", [(BITS, "<h", 8)]),
        "vox_offset negative": ("input.corrupt", [(OFFSET, "<f", -8.0)]),
        "vox_offset NaN": ("input.corrupt", [(OFFSET, "<f", float("nan"))]),
        "vox_offset inf": ("input.corrupt", [(OFFSET, "<f", float("inf"))]),
        "vox_offset 2 GB": ("input.corrupt", [(OFFSET, "<f", 2e9)]),
        "vox_offset past the end": ("input.truncated", [(OFFSET, "<f", 600_000.0)]),
        "NaN affine": ("input.bad_geometry", [(SFORM, "<h", 1), (SROW, "<f", float("nan"))]),
        "inf affine": ("input.bad_geometry", [(SFORM, "<h", 1), (SROW, "<f", float("inf"))]),
        "zero affine": ("input.bad_geometry",
                        [(SFORM, "<h", 1), (QFORM, "<h", 0), (SROW, "<12f", (0.0,) * 12)]),
        "flat affine": ("input.bad_geometry",
                        [(SFORM, "<h", 1), (QFORM, "<h", 0), (SROW, "<12f", (1.0, 1, 1, 0) * 3)]),
        "scl_slope NaN": (NOISE, [(SLOPE, "<2f", (float("nan"), float("nan")))]),
        "scl_slope huge": (NOISE + " input.bad_voxels", [(SLOPE, "<2f", (3e38, 3e38))]),
        "wrong magic": ("input.not_a_volume", [(344, "<4s", b"n+9\0")]),
        "no magic": ("input.not_a_volume", [(344, "<4s", b"\0\0\0\0")]),
        "header size 349": ("input.not_a_volume", [(0, "<i", 349)]),
    }  # fmt: skip
    zooms = {
        "zero zooms": (0.0,) * 3, "negative zooms": (-3.0,) * 3, "NaN zooms": (float("nan"),) * 3,
        "tiny zooms": (1e-6,) * 3, "huge zooms": (1e6,) * 3,
    }  # fmt: skip
    found = [case(name, codes, patched(good, *changes)) for name, (codes, changes) in lies.items()]
    for name, values in zooms.items():
        codes = "input.bad_geometry" + (f" {NOISE}" if name.startswith("negative") else "")
        found.append(case(name, codes, patched(bare, (PIXDIM + 4, "<3f", values))))
    return found


def kinds() -> list[Case]:
    """Types and versions; noise that can be read ends at the quality gate."""
    affine = np.diag([3.0, 3, 3, 1])
    swapped = nib.Nifti1Image(voxels(), affine, nib.Nifti1Header(endianness=">")).to_bytes()
    rgb = np.zeros((32, 32, 32), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nan = np.full((32, 32, 32), np.nan, np.float32)
    speck = np.zeros((64, 64, 64), np.float32)
    speck[3, 3, 3] = 3e38
    return [
        case("NIfTI-2", NOISE, bytes(nib.Nifti2Image(voxels(), affine).to_bytes())),
        case("big-endian", NOISE, bytes(swapped)),
        case("float64", NOISE, nifti(voxels(dtype="float64"))),
        case("int8", NOISE, nifti((voxels() // 2).astype("int8"))),
        case("uint32", NOISE, nifti(voxels(dtype="uint32"))),
        case("complex", "input.bad_voxels", nifti(voxels(dtype="complex64"))),
        case("RGB", "input.bad_voxels", nifti(rgb)),
        case("all NaN", "input.bad_voxels", nifti(nan)),
        case("all zero", "input.bad_voxels", nifti(np.zeros((64, 64, 64), np.int16))),
        case("one bright speck", NOISE + " input.bad_voxels", nifti(speck)),
        case("trailing garbage", "input.corrupt", nifti() + bytes(100_000)),
        case("trailing gzip garbage", NOISE + " input.corrupt", gzip.compress(nifti()) + b"garbage" * 99),
        case("gzip of gzip", "input.not_a_volume", gzip.compress(gzip.compress(nifti()))),
        case("gzip of nothing", "input.not_a_volume input.empty", gzip.compress(b"")),
        case("empty", "input.empty input.not_a_volume", b""),
        case("one byte", "input.not_a_volume", b"\x5c"),
        case("gzip magic only", "input.truncated input.not_a_volume input.corrupt", b"\x1f\x8b"),
        case("gzip bomb 10 GiB", "input.corrupt", bomb),
        case("largest promise of zeros", "input.bad_voxels input.truncated", promised_bomb),
        case("2 GiB body", "input.corrupt", two_gigabytes),
        case("gzip with a path", "input.not_a_volume", named_gzip),
        case(
            "only an extension .nii",
            "input.not_a_volume",
            b"a letter whose name ends in .nii\n" * 99,
        ),
        case("MGH huge dims", "input.too_large", mgh({1: 1 << 15, 2: 1 << 15, 3: 1 << 15})),
        case("MGH 10^6 dims", "input.too_large input.not_a_volume", mgh({1: 10**6, 2: 10**6, 3: 10**6})),
        case("MGH negative dims", "input.bad_geometry input.not_a_volume", mgh({1: -1})),
        case("MGH odd type", "input.bad_voxels", mgh({5: 2})),
        case("MGH frames", "input.not_3d", mgh({4: 9})),
        case("MGH truncated", "input.truncated", mgh()[:900]),
    ]


CASES = [*truncated(), *headers(), *kinds()]
