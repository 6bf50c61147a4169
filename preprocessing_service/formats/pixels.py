"""The stored values of one DICOM frame, uncompressed or behind a compression that is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.decoders.base import get_decoder

from contracts.dicom_file import UNREADABLE
from contracts.errors import BadSeries, BadVoxels
from preprocessing_service import limits
from preprocessing_service.formats.decode import narrow

DECODED = (
    pydicom.uid.RLELossless, pydicom.uid.JPEGLSLossless, pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEG2000,
)  # fmt: skip
"""Compressed transfer syntaxes that are taken: RLE, JPEG-LS (pyjpegls), JPEG 2000 (Pillow)."""


def pixels_of(dataset: pydicom.Dataset, index: int) -> npt.NDArray[Any]:
    """(rows, columns) of frame `index`, counted from 0; BadSeries, BadVoxels."""
    syntax = dataset.file_meta.TransferSyntaxUID
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsAllocated)
    if bits not in (8, 16) or not 1 <= rows * columns <= limits.MAX_PIXELS:
        raise BadVoxels(f"{rows} x {columns} pixels of {bits} bits are not supported")
    if syntax.is_compressed:
        return _uncompressed(dataset, (rows, columns), index)
    order = "<" if syntax.is_little_endian else ">"
    kind = f"{order}{'i' if dataset.PixelRepresentation else 'u'}{bits // 8}"
    begins, data = index * rows * columns * bits // 8, dataset.PixelData
    if len(data) < begins + rows * columns * bits // 8:
        raise BadSeries("a DICOM file ends inside its pixels")
    return narrow(np.frombuffer(data, kind, rows * columns, begins).reshape(rows, columns))


def _uncompressed(dataset: pydicom.Dataset, shape: tuple[int, int], index: int) -> npt.NDArray[Any]:
    """The pixels behind a compression of DECODED, by pydicom's decoder and its plugins."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in DECODED:
        raise BadSeries(f"transfer syntax {syntax.name} is not supported; send uncompressed slices")
    if not dataset["PixelData"].is_undefined_length:
        raise BadSeries(f"the header states {syntax.name}, but the pixels are not encapsulated")
    try:
        pixels, _ = get_decoder(syntax).as_array(dataset, raw=True, index=index)
    except (RuntimeError, *UNREADABLE) as error:
        raise BadSeries(f"{syntax.name} pixels cannot be decoded ({type(error).__name__})") from error
    if pixels.shape != shape:
        raise BadSeries(f"compressed pixels unpack to {pixels.shape}, the header states {shape}")
    return narrow(pixels)
