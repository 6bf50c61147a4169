"""A DICOM series in a zip archive: one evenly spaced stack of MR slices (PS3.3, C.7.6.2)."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from contracts.archive import Archive
from contracts.dicom_file import UNREADABLE, looks_like_dicom, undeflated
from contracts.errors import BadSeries, TooLarge
from contracts.source import DicomSource
from preprocessing_service import limits
from preprocessing_service.formats.decode import check_affine, finite, three_axes
from preprocessing_service.formats.frames import Frame, frames_of
from preprocessing_service.formats.pixels import pixels_of
from preprocessing_service.formats.series import choose
from preprocessing_service.volume import Matrix, Volume

TAGS = [
    "StudyInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID",
    "SeriesDescription", "ProtocolName", "SequenceName", "Modality",
    "BitsStored", "PhotometricInterpretation",
    "EchoNumbers", "ImageType", "NumberOfFrames", "SamplesPerPixel", "Rows", "Columns", "BitsAllocated",
    "PixelRepresentation", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient",
    "RescaleSlope", "RescaleIntercept", "PixelData",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
"""What a report needs, besides the instances, to point back at a series."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TOLERANCE = 0.1
"""How far a slice may lie from its even place, as a share of the gap."""


@dataclass(frozen=True)
class Slice:
    """One image of a series: who it is, where it lies (mm, LPS+) and its stored values."""

    series: str
    uid: str
    frame: int
    label: str
    position: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    rescale: tuple[float, float]
    pixels: npt.NDArray[Any]
    names: dict[str, str]


def read_dicom(archive: Archive) -> Volume:
    """The T1 series of the archive as one volume; any InputError."""
    groups: dict[str, list[Slice]] = defaultdict(list)
    for entry in archive.entries:
        if entry.file_size > limits.MAX_DICOM_ENTRY:
            raise TooLarge(f"a DICOM file of {entry.file_size} bytes is no slice and no volume")
        data = archive.unpack(entry)
        if looks_like_dicom(data[:132]):
            for image in read_slices(data):
                groups[f"{image.series}/{image.pixels.shape}/{np.round(image.axes, 2).tolist()}"].append(
                    image
                )
    if not groups:
        raise BadSeries("the archive holds no DICOM image")
    seen, chosen = len(groups), choose(groups)
    groups.clear()
    return assemble(chosen, seen)


def read_slices(data: bytes) -> list[Slice]:
    """One file's images; BadSeries names what it lacks."""
    try:
        plain = undeflated(data, most_bytes=limits.MAX_DICOM_ENTRY)
        dataset = pydicom.dcmread(io.BytesIO(plain), specific_tags=TAGS)
        return _slices_of(dataset)
    except (AttributeError, KeyError) as error:
        raise BadSeries(f"a DICOM file lacks what a slice needs ({error})") from error
    except UNREADABLE as error:
        raise BadSeries(f"a DICOM file cannot be read ({type(error).__name__})") from error


def _slices_of(dataset: pydicom.Dataset) -> list[Slice]:
    if dataset.get("Modality", "MR") != "MR":
        raise BadSeries(f"modality {_code(dataset.Modality)}; MR is needed")
    if int(dataset.get("SamplesPerPixel", 1)) > 1:
        raise BadSeries("colour DICOM files are not supported; send grey slices")
    label = " ".join(
        str(dataset.get(name, ""))
        for name in ("SeriesDescription", "ProtocolName", "SequenceName", "ImageType")
    )
    names = {name: str(dataset.get(name) or "") for name in NAMES}
    return [_slice(dataset, frame, label, names) for frame in frames_of(dataset)]


def _slice(dataset: pydicom.Dataset, frame: Frame, label: str, names: dict[str, str]) -> Slice:
    axes, position = np.array(frame.orientation).reshape(2, 3), np.array(frame.position).reshape(3)
    if not (np.isfinite(axes).all() and np.isfinite(position).all()):
        raise BadSeries("a slice's position or orientation is not finite")
    row, column = frame.spacing
    return Slice(
        series=f"{dataset.SeriesInstanceUID}/{frame.kind}",
        uid=str(dataset.SOPInstanceUID),
        frame=frame.index,
        label=label,
        position=position,
        axes=axes,
        spacing=(row, column),
        rescale=frame.rescale,
        pixels=pixels_of(dataset, frame.index),
        names=names,
    )


def _code(value: object) -> str:
    """A coded value as it may be shown; anything else may be a name in the wrong place."""
    return str(value) if re.fullmatch(r"[A-Z]{2,5}", str(value)) else "unknown"


def assemble(images: list[Slice], series_seen: int) -> Volume:
    """Order the slices along their normal and stack them, emptying the list; BadSeries when uneven."""
    images[:] = {(image.uid, image.frame): image for image in images}.values()
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
            instances=tuple(dict.fromkeys(image.uid for image in images)),
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
