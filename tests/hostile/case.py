"""One hostile file: how it is made and which codes it may end in."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

Make = Callable[[Path], bytes | None]
"""Gets the path to write to; returns the bytes instead when they are small."""


@dataclass(frozen=True)
class Case:
    """codes: those that are right. http: the gateway refuses it before it becomes a job."""

    name: str
    codes: frozenset[str]
    make: Make

    def write(self, folder: Path) -> Path:
        """The file, in a folder of ours."""
        path = folder / self.name.replace(" ", "_").replace("/", "_")
        data = self.make(path)
        if data is not None:
            path.write_bytes(data)
        return path


def case(name: str, codes: str, make: Make | bytes) -> Case:
    """`codes` with spaces between; `make` may be the bytes."""
    return Case(name, frozenset(codes.split()), (lambda _: make) if isinstance(make, bytes) else make)


def voxels(shape: tuple[int, ...] = (64, 64, 64), dtype: str = "int16") -> npt.NDArray[np.generic]:
    """Noise that reads as intensities."""
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def nifti(data: npt.NDArray[np.generic] | None = None, zoom: float = 3.0) -> bytes:
    """An uncompressed NIfTI-1 file with identity axes."""
    return bytes(nib.Nifti1Image(voxels() if data is None else data, np.diag([zoom] * 3 + [1])).to_bytes())


def patched(data: bytes, *changes: tuple[int, str, object]) -> bytes:
    """`data` with struct-packed values written over it: (offset, format, value or values)."""
    out = bytearray(data)
    for offset, fmt, value in changes:
        struct.pack_into(fmt, out, offset, *(value if isinstance(value, tuple) else (value,)))
    return bytes(out)
