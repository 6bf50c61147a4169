"""A DICOM series in a zip archive: one evenly spaced stack of single-frame MR slices (PS3.3 C.7.6.2)."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from contracts.errors import BadSeries, BadVoxels, TooLarge
from contracts.source import DicomSource
from preprocessing_service import limits
from preprocessing_service.formats.archive import Archive
from preprocessing_service.formats.decode import check_affine, finite, narrow, three_axes
from preprocessing_service.formats.series import choose
from preprocessing_service.volume import Matrix, Volume

TAGS = [
    "StudyInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID",
    "SeriesDescription", "ProtocolName", "SequenceName", "Modality",
    "BitsStored", "PhotometricInterpretation",
    "EchoNumbers", "ImageType", "NumberOfFrames", "SamplesPerPixel", "Rows", "Columns", "BitsAllocated",
    "PixelRepresentation", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient",
    "RescaleSlope", "RescaleIntercept", "PixelData",
]  # fmt: skip
NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
"""What a report needs, besides the instances, to point back at a series."""
DECODED = (
    pydicom.uid.RLELossless, pydicom.uid.JPEGLSLossless, pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEG2000,
)  # fmt: skip
"""Compressed transfer syntaxes that are taken: RLE, JPEG-LS (pyjpegls), JPEG 2000 (Pillow)."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TOLERANCE = 0.1
"""How far a slice may lie from its even place, as a share of the gap."""


@dataclass(frozen=True)
class Slice:
    """One image of a series: who it is, where it lies (mm, LPS+) and its stored values."""

    series: str
    uid: str
    label: str
    position: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    rescale: tuple[float, float]
    pixels: npt.NDArray[Any]
    names: dict[str, str]


_UNREADABLE = (
    InvalidDicomError, BytesLengthException, ValueError, TypeError, EOFError, OverflowError, RecursionError,
    NotImplementedError, IndexError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom raises at broken files. Its messages quote values, which may be names."""

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # its warnings quote values too


def looks_like_dicom(start: bytes) -> bool:
    """The DICM mark behind the 128-byte preamble (PS3.10)."""
    return start[128:132] == b"DICM"


def read_dicom(archive: Archive) -> Volume:
    """The T1 series of the archive as one volume; any InputError."""
    groups: dict[str, list[Slice]] = defaultdict(list)
    for entry in archive.entries:
        if entry.file_size > limits.MAX_DICOM_ENTRY:
            raise TooLarge(f"a DICOM file of {entry.file_size} bytes is no single slice")
        data = archive.unpack(entry)
        if looks_like_dicom(data[:132]):
            image = read_slice(data)
            groups[f"{image.series}/{image.pixels.shape}/{np.round(image.axes, 2).tolist()}"].append(image)
    if not groups:
        raise BadSeries("the archive holds no DICOM image")
    seen, chosen = len(groups), choose(groups)
    groups.clear()
    return assemble(chosen, seen)


def read_slice(data: bytes) -> Slice:
    """One file's image; BadSeries names what it lacks."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=TAGS)
        return _slice_of(dataset)
    except (AttributeError, KeyError) as error:
        raise BadSeries(f"a DICOM file lacks what a slice needs ({error})") from error
    except _UNREADABLE as error:
        raise BadSeries(f"a DICOM file cannot be read ({type(error).__name__})") from error


def _slice_of(dataset: pydicom.Dataset) -> Slice:
    if dataset.get("Modality", "MR") != "MR":
        raise BadSeries(f"modality {_code(dataset.Modality)}; MR is needed")
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1 or int(dataset.get("SamplesPerPixel", 1)) > 1:
        raise BadSeries("multi-frame and colour DICOM files are not supported; send one grey slice a file")
    row, column = (float(size) for size in dataset.PixelSpacing)
    names = ("SeriesDescription", "ProtocolName", "SequenceName", "ImageType")
    axes = np.array([float(x) for x in dataset.ImageOrientationPatient]).reshape(2, 3)
    position = np.array([float(x) for x in dataset.ImagePositionPatient]).reshape(3)
    if not (np.isfinite(axes).all() and np.isfinite(position).all()):
        raise BadSeries("a slice's position or orientation is not finite")
    slope = dataset.get("RescaleSlope")
    intercept = dataset.get("RescaleIntercept")
    return Slice(
        series=f"{dataset.SeriesInstanceUID}/{dataset.get('EchoNumbers')}",
        uid=str(dataset.SOPInstanceUID),
        label=" ".join(str(dataset.get(name, "")) for name in names),
        position=position,
        axes=axes,
        spacing=(row, column),
        rescale=(1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)),
        pixels=_pixels_of(dataset),
        names={name: str(dataset.get(name) or "") for name in NAMES},
    )


def _code(value: object) -> str:
    """A coded value as it may be shown; anything else may be a name in the wrong place."""
    return str(value) if re.fullmatch(r"[A-Z]{2,5}", str(value)) else "unknown"


def _pixels_of(dataset: pydicom.Dataset) -> npt.NDArray[Any]:
    syntax = dataset.file_meta.TransferSyntaxUID
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsAllocated)
    if bits not in (8, 16) or not 1 <= rows * columns <= limits.MAX_DICOM_ENTRY:
        raise BadVoxels(f"{rows} x {columns} pixels of {bits} bits are not supported")
    if syntax.is_compressed and syntax != pydicom.uid.DeflatedExplicitVRLittleEndian:
        return _uncompressed(dataset, (rows, columns))
    order = "<" if syntax.is_little_endian else ">"
    kind = f"{order}{'i' if dataset.PixelRepresentation else 'u'}{bits // 8}"
    data = dataset.PixelData
    if len(data) < rows * columns * bits // 8:
        raise BadSeries("a DICOM file ends inside its pixels")
    return narrow(np.frombuffer(data, kind, rows * columns).reshape(rows, columns))


def _uncompressed(dataset: pydicom.Dataset, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """The pixels behind a compression of DECODED, by pydicom's decoder and its plugins."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in DECODED:
        raise BadSeries(f"transfer syntax {syntax.name} is not supported; send uncompressed slices")
    if not dataset["PixelData"].is_undefined_length:
        raise BadSeries(f"the header states {syntax.name}, but the pixels are not encapsulated")
    try:
        pixels, _ = get_decoder(syntax).as_array(dataset, raw=True, index=0)
    except (RuntimeError, AttributeError, KeyError, *_UNREADABLE) as error:
        raise BadSeries(f"{syntax.name} pixels cannot be decoded ({type(error).__name__})") from error
    if pixels.shape != shape:
        raise BadSeries(f"compressed pixels unpack to {pixels.shape}, the header states {shape}")
    return narrow(pixels)


def assemble(images: list[Slice], series_seen: int) -> Volume:
    """Order the slices along their normal and stack them, emptying the list; BadSeries when uneven."""
    images[:] = {image.uid: image for image in images}.values()
    shape = three_axes([len(images), *images[0].pixels.shape])
    normal = np.cross(*images[0].axes)
    images.sort(key=lambda image: float(image.position @ normal))
    step = even_step(np.array([image.position for image in images]), normal)
    affine = LPS_TO_RAS @ _affine_of(images[0], step)
    check_affine(affine, shape)
    facts, source = (("series_in_archive", float(series_seen)),), source_of(images)
    voxels, (slope, intercept) = _emptied(images, shape)
    return Volume(finite(voxels), affine, slope, intercept, facts, source)


def _emptied(images: list[Slice], shape: tuple[int, ...]) -> tuple[npt.NDArray[Any], tuple[float, float]]:
    # Slices leave the list as they are copied: else the peak would be twice the series.
    rescale, uneven = images[0].rescale, len({image.rescale for image in images}) > 1
    voxels = np.empty(shape, np.float32 if uneven else images[0].pixels.dtype)
    images.reverse()
    for plane in voxels:
        image = images.pop()
        plane[...] = image.pixels
        if uneven:
            plane *= image.rescale[0]
            plane += image.rescale[1]
    return voxels, (1.0, 0.0) if uneven else rescale


def source_of(images: list[Slice]) -> DicomSource | None:
    """Identifiers of the series; None when a slice lacks some, because a report can then not point at it."""
    study, series, sop_class, frame = (images[0].names[name] for name in NAMES)
    try:
        return DicomSource(
            study=study,
            series=series,
            sop_class=sop_class,
            frame_of_reference=frame,
            instances=tuple(image.uid for image in images),
        )
    except ValueError:
        return None


def even_step(positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3,) mm from one slice to the next, positions (n, 3) being sorted; BadSeries when uneven."""
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    if usual < limits.MIN_ZOOM:
        raise BadSeries(f"several slices lie at the same place (usual gap {usual:.3f} mm)")
    if gaps.min() < (1 - TOLERANCE) * usual:
        raise BadSeries(f"slices lie {gaps.min():.3f} mm apart where {usual:.3f} mm is usual")
    if gaps.max() > (1 + TOLERANCE) * usual:
        raise BadSeries(f"a slice is missing: one gap is {gaps.max():.3f} mm, {usual:.3f} mm is usual")
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    even = positions[0] + np.arange(len(positions))[:, None] * step
    if np.abs(positions - even).max() > max(TOLERANCE * usual, 0.05):
        raise BadSeries("the slices do not lie on one straight line")
    return np.asarray(step)


def _affine_of(first: Slice, step: npt.NDArray[np.float64]) -> Matrix:
    # PixelSpacing is (between rows, between columns); the first axis vector runs along a row.
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.axes[1] * first.spacing[0]
    affine[:3, 2] = first.axes[0] * first.spacing[1]
    affine[:3, 3] = first.position
    return affine
