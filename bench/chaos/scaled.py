"""The real preprocess consumer with scaled-down work: the voxels say what the pipeline should suffer.

A bomb is the exception: it is a real compressed file and goes to the real reader. A real scan says nothing:
it is read as a whole, and takes SCAN_SECONDS.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import signal
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from bench.chaos.gap_point import die_in_the_gap
from contracts.stack import Stack
from deploy.local.sample import sample_volume
from preprocessing_service.formats.streams import GZIP
from preprocessing_service.service import build
from preprocessing_service.settings import Settings
from preprocessing_service.steps.read import read

HEADER = 352
SCAN_SECONDS = 0.4
_LONGEST_ORDERS = 1024
DIGEST = "0" * 63 + "1"


def volume(orders: str) -> bytes:
    """A NIfTI-1 file of 16 x 16 x 4 uint8 voxels that spell the orders."""
    header = bytearray(HEADER)
    header[0:4] = (348).to_bytes(4, "little")
    for n, dim in enumerate((3, 16, 16, 4, 1, 1, 1, 1)):
        header[40 + 2 * n : 42 + 2 * n] = dim.to_bytes(2, "little")
    header[70:72], header[72:74] = (2).to_bytes(2, "little"), (8).to_bytes(2, "little")
    for n in range(8):
        header[76 + 4 * n : 80 + 4 * n] = np.float32(1).tobytes()
    header[108:112] = np.float32(HEADER).tobytes()
    header[344:348] = b"n+1\0"
    return bytes(header) + orders.encode().ljust(1024, b"\n")


@cache
def _real() -> tuple[bytes, bytes]:
    """Header and voxels (12 MB) of a real whole head."""
    import nibabel as nib

    head = nib.load(sample_volume())
    voxels = np.asarray(head.dataobj)[..., :128].astype(np.int16)
    image = nib.Nifti1Image(voxels, head.affine).to_bytes()
    return image[:HEADER], image[HEADER:]


def scan(name: str) -> bytes:
    """A real whole head, uncompressed; `name` makes it unique."""
    header, voxels = _real()
    return header + hashlib.sha256(name.encode()).digest() + voxels[32:]


def bomb(name: str) -> bytes:
    """1.2 GB of zeros in 5 MB of gzip behind the header of a small NIfTI-1; `name` makes it unique."""
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", compresslevel=1, fileobj=out, mtime=0) as file:
        file.write(volume("")[:HEADER])
        for _ in range(1200):
            file.write(bytes(1 << 20))
    return out.getvalue()


def prepare(
    path: Path,
    *,
    scratch: Path | None,  # noqa: ARG001
    on_step: Callable[[str], None] | None,
    on_sheet: Callable[[bytes], None] | None,  # noqa: ARG001
) -> Stack:
    """Obeys "sleep s", "crash", "hang" and "hog", a line each; any other line only makes the file unique."""
    if on_step:
        on_step("work")
    if path.read_bytes()[:2] == GZIP:
        read(path)
    content = path.read_bytes()[HEADER:]
    level = zlib.crc32(content) % 200
    for order in _orders(content):
        match order.split():
            case ["sleep", seconds]:
                time.sleep(float(seconds))
            case ["crash"]:
                os.kill(os.getpid(), signal.SIGSEGV)
            case ["hang"]:
                time.sleep(3600)
            case ["hog"]:
                hoard = [bytearray(1 << 27) for _ in range(1 << 10)]
                del hoard
    slices = np.full((32, 208, 176), level, np.uint8)
    return Stack(slices, np.eye(4), (16, 16, 4), np.eye(4), {"level": float(level)}, {"work": 0.0})


def _orders(content: bytes) -> list[str]:
    return [f"sleep {SCAN_SECONDS}"] if len(content) > _LONGEST_ORDERS else content.decode().split("\n")


app = build(Settings(), prepare, digest=lambda: DIGEST, warm_up=lambda: None)
die_in_the_gap()
