"""The stored values of one DICOM frame, uncompressed or behind a compression that is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels.decoders.base import get_decoder

from contracts.errors import BadSeries, BadVoxels
from imaging import limits
from imaging.dicom_file import UNREADABLE
from preprocessing_service.formats.decode import narrow
from preprocessing_service.formats.lossless import lossless

DECODED = {
    pydicom.uid.RLELossless: "pydicom",
    pydicom.uid.JPEGLossless: "gdcm",
    pydicom.uid.JPEGLosslessSV1: "gdcm",
    pydicom.uid.JPEGLSLossless: "pyjpegls",
    pydicom.uid.JPEG2000Lossless: "pillow",
    pydicom.uid.JPEG2000: "pillow",
}
"""Compressed transfer syntaxes that are taken, and the plugin of pydicom that decodes each."""


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
    stored = np.frombuffer(data, kind, rows * columns, begins).reshape(rows, columns)
    return narrow(meant(stored, dataset, aligned=False))


def meant(stored: npt.NDArray[Any], dataset: pydicom.Dataset, *, aligned: bool) -> npt.NDArray[Any]:
    """The values that the bits stand for (PS3.5, 8.1.1): what lies above and below them may be an overlay.

    BitsStored 4, HighBit 5 of 8:  . . [v v v v] . .  ->  v v v v, sign-extended when values are signed.
    aligned: the decoder has put the lowest bit of the values at 0.
    """
    bits = 8 * stored.dtype.itemsize
    width = int(dataset.get("BitsStored") or bits)
    high = int(dataset.get("HighBit") or width - 1)
    low = 0 if aligned else high - width + 1
    if not (1 <= width <= bits and 0 <= low <= bits - width):
        raise BadVoxels(f"BitsStored {width} and HighBit {high} do not fit {bits} bits")
    if width == bits:
        return stored
    signed = stored.dtype.kind == "i"
    native = stored.astype(f"u{stored.dtype.itemsize}") >> low & (1 << width) - 1
    if not signed:
        return np.asarray(native)
    half = 1 << (width - 1)
    return np.asarray((native.astype(np.int32) ^ half) - half, f"i{stored.dtype.itemsize}")


def _uncompressed(dataset: pydicom.Dataset, shape: tuple[int, int], index: int) -> npt.NDArray[Any]:
    """The pixels behind a compression of DECODED, by pydicom's decoder and its plugins."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in DECODED:
        raise BadSeries(f"transfer syntax {syntax.name} is not supported; send uncompressed slices")
    if not dataset["PixelData"].is_undefined_length:
        raise BadSeries(f"the header states {syntax.name}, but the pixels are not encapsulated")
    try:
        if DECODED[syntax] == "gdcm":
            pixels = lossless(dataset, index)
        else:
            pixels, _ = get_decoder(syntax).as_array(
                dataset, raw=True, index=index, decoding_plugin=DECODED[syntax]
            )
    except (RuntimeError, *UNREADABLE) as error:
        raise BadSeries(f"{syntax.name} pixels cannot be decoded ({type(error).__name__})") from error
    if pixels.shape != shape:
        raise BadSeries(f"compressed pixels unpack to {pixels.shape}, the header states {shape}")
    return narrow(meant(pixels, dataset, aligned=syntax != pydicom.uid.RLELossless))
