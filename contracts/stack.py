"""The prepared stack: what preprocessing hands to inference and to the page, and how it lies in a blob."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from contracts.series_read import SeriesRead
from contracts.source import DicomSource

SLICES, HEIGHT, WIDTH = 32, 208, 176
"""Shape of every stack: the axial slab of the training data, ~1 mm, rows posterior to anterior,
columns right to left (grid.py)."""


@dataclass(frozen=True)
class Stack:
    """One head on the training grid.

    slices: (32, 208, 176) uint8, (slice, row, column), skull-stripped, intensities as in the training data.
    grid_to_world: (4, 4) float64, (column, row, slice, 1) of `slices` -> mm in the input's world (RAS+).
    input_shape: voxels of the input volume along its stored axes.
    input_affine: (4, 4) float64, voxel of the input -> mm (RAS+).
    quality: measure name -> figure, as compared by the quality gate.
    seconds: step name -> CPU-bound wall seconds it took.
    source: the DICOM series the volume came from, None for other formats.
    series: which series was read and which were passed over, None for a single volume.
    brain: the whole stripped brain as gzipped NIfTI, for people to look at; it becomes a blob of its
        own, so it is b"" when the stack was read back.
    """

    slices: npt.NDArray[np.uint8]
    grid_to_world: npt.NDArray[np.float64]
    input_shape: tuple[int, int, int]
    input_affine: npt.NDArray[np.float64]
    quality: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    source: DicomSource | None = None
    series: SeriesRead | None = None
    brain: bytes = b""

    def __post_init__(self) -> None:
        if self.slices.shape != (SLICES, HEIGHT, WIDTH) or self.slices.dtype != np.uint8:
            got = f"{self.slices.shape} {self.slices.dtype}"
            raise ValueError(f"a stack is ({SLICES}, {HEIGHT}, {WIDTH}) uint8, got {got}")

    def to_bytes(self) -> bytes:
        """An uncompressed .npz without pickles."""
        about = {
            "input_shape": self.input_shape,
            "quality": self.quality,
            "seconds": self.seconds,
            "source": self.source.to_json() if self.source else None,
            "series": self.series.to_json() if self.series else None,
        }
        out = io.BytesIO()
        np.savez(
            out,
            slices=self.slices,
            grid_to_world=self.grid_to_world,
            input_affine=self.input_affine,
            about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        )
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Stack:
        """Read what `to_bytes` wrote; ValueError on anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as parts:
                return cls._of(parts)
        except (BadZipFile, KeyError, OSError) as error:
            raise ValueError(f"not a stored stack: {error}") from error

    @classmethod
    def _of(cls, parts: Mapping[str, npt.NDArray[Any]]) -> Stack:
        about = json.loads(parts["about"].tobytes())
        return cls(
            slices=parts["slices"],
            grid_to_world=parts["grid_to_world"],
            input_shape=tuple(about["input_shape"]),
            input_affine=parts["input_affine"],
            quality=about["quality"],
            seconds=about["seconds"],
            source=DicomSource.of(about.get("source")),
            series=SeriesRead.of(about.get("series")),
        )
