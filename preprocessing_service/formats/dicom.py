"""A DICOM series in a zip archive: one evenly spaced stack of MR slices (PS3.3, C.7.6.2)."""

from __future__ import annotations

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from contracts.archive import Archive
from contracts.dicom_file import UNREADABLE, looks_like_dicom, undeflated
from contracts.errors import BadSeries, TooLarge
from contracts.source import DicomSource
from preprocessing_service import limits
from preprocessing_service.formats.decode import check_affine, halves, kept, stacked, three_axes
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
    """One image of a series: who it is, where it lies (mm, LPS+) and its stored values.

    pixels: (rows, columns) of `shape` and `dtype`; None when they were let go, to be read again from `entry`.
    """

    entry: zipfile.ZipInfo
    series: str
    uid: str
    frame: int
    label: str
    position: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    rescale: tuple[float, float]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    pixels: npt.NDArray[Any] | None
    names: dict[str, str]


def read_dicom(archive: Archive) -> Volume:
    """The T1 series of the archive as one volume; any InputError."""
    groups: dict[str, list[Slice]] = defaultdict(list)
    held = 0
    for entry in archive.entries:
        for image in images_of(archive, entry):
            held += image.shape[0] * image.shape[1] * image.dtype.itemsize
            lasting = image if held <= limits.MAX_HELD else replace(image, pixels=None)
            groups[f"{image.series}/{image.shape}/{np.round(image.axes, 2).tolist()}"].append(lasting)
    if not groups:
        raise BadSeries("the archive holds no DICOM image")
    seen, chosen = len(groups), choose(groups)
    groups.clear()
    return assemble(chosen, seen, Pixels(archive))


def images_of(archive: Archive, entry: zipfile.ZipInfo) -> list[Slice]:
    """The images of one file of the archive, none when it is no DICOM; BadSeries names what it lacks."""
    if entry.file_size > limits.MAX_DICOM_ENTRY:
        raise TooLarge(f"a DICOM file of {entry.file_size} bytes is no slice and no volume")
    data = archive.unpack(entry)
    if not looks_like_dicom(data[:132]):
        return []
    try:
        plain = undeflated(data, most_bytes=limits.MAX_DICOM_ENTRY)
        return _slices_of(pydicom.dcmread(io.BytesIO(plain), specific_tags=TAGS), entry)
    except (AttributeError, KeyError) as error:
        raise BadSeries(f"a DICOM file lacks what a slice needs ({error})") from error
    except UNREADABLE as error:
        raise BadSeries(f"a DICOM file cannot be read ({type(error).__name__})") from error


class Pixels:
    """The pixels of images, read again where they were let go; the frames of one file follow one another."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._file: dict[tuple[str, int], npt.NDArray[Any]] = {}

    def of(self, image: Slice) -> npt.NDArray[Any]:
        """(rows, columns) of one image; any InputError."""
        if image.pixels is not None:
            return image.pixels
        if (image.uid, image.frame) not in self._file:
            self._file.clear()
            again = images_of(self._archive, image.entry)
            self._file |= {(one.uid, one.frame): one.pixels for one in again if one.pixels is not None}
        return self._file[image.uid, image.frame]


def _slices_of(dataset: pydicom.Dataset, entry: zipfile.ZipInfo) -> list[Slice]:
    if dataset.get("Modality", "MR") != "MR":
        raise BadSeries(f"modality {_code(dataset.Modality)}; MR is needed")
    if int(dataset.get("SamplesPerPixel", 1)) > 1:
        raise BadSeries("colour DICOM files are not supported; send grey slices")
    label = " ".join(
        str(dataset.get(name, ""))
        for name in ("SeriesDescription", "ProtocolName", "SequenceName", "ImageType")
    )
    names = {name: str(dataset.get(name) or "") for name in NAMES}
    one = partial(_slice, dataset, entry=entry, label=label, names=names)
    return [one(frame) for frame in frames_of(dataset)]


def _slice(
    dataset: pydicom.Dataset, frame: Frame, *, entry: zipfile.ZipInfo, label: str, names: dict[str, str]
) -> Slice:
    axes, position = np.array(frame.orientation).reshape(2, 3), np.array(frame.position).reshape(3)
    if not (np.isfinite(axes).all() and np.isfinite(position).all()):
        raise BadSeries("a slice's position or orientation is not finite")
    row, column = frame.spacing
    pixels = pixels_of(dataset, frame.index)
    return Slice(
        entry=entry,
        series=f"{dataset.SeriesInstanceUID}/{frame.kind}",
        uid=str(dataset.SOPInstanceUID),
        frame=frame.index,
        label=label,
        position=position,
        axes=axes,
        spacing=(row, column),
        rescale=frame.rescale,
        shape=(pixels.shape[0], pixels.shape[1]),
        dtype=pixels.dtype,
        pixels=pixels,
        names=names,
    )


def _code(value: object) -> str:
    """A coded value as it may be shown; anything else may be a name in the wrong place."""
    return str(value) if re.fullmatch(r"[A-Z]{2,5}", str(value)) else "unknown"


def assemble(images: list[Slice], series_seen: int, pixels: Pixels) -> Volume:
    """Order the slices along their normal and stack them, emptying the list; BadSeries when uneven."""
    images[:] = {(image.uid, image.frame): image for image in images}.values()
    shape = three_axes([len(images), *images[0].shape])
    normal = np.cross(*images[0].axes)
    images.sort(key=lambda image: float(image.position @ normal))
    step = even_step(np.array([image.position for image in images]), normal)
    affine = check_affine(LPS_TO_RAS @ _affine_of(images[0], step), shape)
    facts, source = (("series_in_archive", float(series_seen)),), source_of(images)
    uneven = len({(image.rescale, image.dtype) for image in images}) > 1
    (slope, intercept), dtype = images[0].rescale, images[0].dtype
    if uneven:
        slope, intercept, dtype = 1.0, 0.0, np.dtype(np.float32)
    halved = halves(shape, affine, dtype)
    voxels = stacked(_emptied(images, pixels, uneven=uneven), shape, dtype, halved)
    return kept(Volume(voxels, affine, slope, intercept, facts, source), halved)


def _emptied(images: list[Slice], pixels: Pixels, *, uneven: bool) -> Iterator[npt.NDArray[Any]]:
    # Slices leave the list as they are copied: else the peak would be twice the series.
    images.reverse()
    while images:
        image = images.pop()
        plane = pixels.of(image)
        yield plane * np.float32(image.rescale[0]) + np.float32(image.rescale[1]) if uneven else plane


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
