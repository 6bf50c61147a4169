"""JPEG Lossless (ISO/IEC 10918-1, process 14) by GDCM, in a confined child."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder

from contracts.errors import BadSeries
from imaging.codestreams import check_lossless
from preprocessing_service.formats.confined import Died, confined

_END = b"\xff\xd9"
_PADDING = b"\xa5\x5a" * 64
"""What no decoder reads when the data before it are whole."""


def lossless(dataset: pydicom.Dataset, index: int) -> npt.NDArray[Any]:
    """(rows, columns) of frame `index`; BadSeries when its stream is damaged, UNREADABLE for its wrapping."""
    frame = get_frame(dataset.PixelData, index, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    kind = np.dtype(f"{'i' if dataset.PixelRepresentation else 'u'}{int(dataset.BitsAllocated) // 8}")
    shape = int(dataset.Rows), int(dataset.Columns)
    check_lossless(frame, *shape)
    try:
        data = confined(lambda: _decoded(frame, dataset), shape[0] * shape[1] * kind.itemsize)
    except Died as error:
        raise BadSeries(
            "JPEG Lossless pixels are damaged and cannot be decoded; send the slices again, or uncompressed"
        ) from error
    return np.frombuffer(data, kind).reshape(shape)


def _decoded(frame: bytes, dataset: pydicom.Dataset) -> bytes:
    """GDCM makes values up behind an early end without a word: then the padding is read, and changes them."""
    ends = frame.rindex(_END)
    padded = frame[:ends] + _PADDING + frame[ends:]
    found, again = (_by_gdcm(one, dataset) for one in (frame, padded))
    if found != again:
        raise ValueError("the data of a scan end early")
    return found


def _by_gdcm(frame: bytes, dataset: pydicom.Dataset) -> bytes:
    about: Any = {
        "rows": int(dataset.Rows),
        "columns": int(dataset.Columns),
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": int(dataset.BitsAllocated),
        "bits_stored": int(dataset.get("BitsStored") or dataset.BitsAllocated),
        "photometric_interpretation": str(dataset.get("PhotometricInterpretation") or "MONOCHROME2"),
        "pixel_representation": int(dataset.PixelRepresentation),
        "pixel_keyword": "PixelData",
    }
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    pixels, _ = decoder.as_array(encapsulate([frame]), raw=True, index=0, decoding_plugin="gdcm", **about)
    return pixels.tobytes()
