"""The files of a DICOM study, sorted: stacks of MR images by series, and objects that are none for us."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.datadict import tag_for_keyword

from contracts.errors import BadSeries, InputError
from imaging import limits
from imaging.contents import Member
from imaging.described import Described, describe
from imaging.dicom_file import UNREADABLE, undeflated
from imaging.dicom_magic import looks_like_dicom
from imaging.owners import Owners
from imaging.series import Why
from imaging.single_file import refuse_slice
from preprocessing_service.formats.frames import Frame, frames_of
from preprocessing_service.formats.pixels import pixels_of
from preprocessing_service.formats.stacks import MOST_COMPARED, together

TAGS = [(tag_for_keyword(name) or 0) for name in (
    "StudyInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID",
    "SeriesDescription", "ProtocolName", "SequenceName", "Modality", "SeriesNumber",
    "PatientID", "PatientName", "ScanningSequence", "RepetitionTime", "EchoTime", "InversionTime",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence", "ComplexImageComponent",
    "BitsStored", "HighBit", "PhotometricInterpretation",
    "EchoNumbers", "ImageType", "NumberOfFrames", "SamplesPerPixel", "Rows", "Columns", "BitsAllocated",
    "PixelRepresentation", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient",
    "RescaleSlope", "RescaleIntercept", "PixelData",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)]  # fmt: skip
TAGS += [0x00430010, 0x0043102F]
"""What is read of a header; the last two are private, where GE says which part of a complex image it is."""

NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
"""What a report needs, besides the instances, to point back at a series."""


@dataclass(frozen=True)
class Slice:
    """One image of a series: who it is, where it lies (mm, LPS+) and its stored values.

    pixels: (rows, columns) of `shape`, `dtype`; None when they were let go, to be read again from `member`.
    """

    member: Member
    series: str
    uid: str
    frame: int
    described: Described
    position: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    rescale: tuple[float, float]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    pixels: npt.NDArray[Any] | None
    names: dict[str, str]


@dataclass
class Study:
    """What the files of an archive are: stacks of images by series, and objects that are none for us."""

    groups: dict[str, list[Slice]] = field(default_factory=lambda: defaultdict(list))
    owners: Owners = field(default_factory=Owners)
    others: dict[str, Described] = field(default_factory=dict)
    broken: dict[str, InputError] = field(default_factory=dict)
    _stacks: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _held: int = 0

    def add(self, member: Member) -> None:
        """Sort the images of one file in; what is no DICOM is passed over."""
        dataset = dataset_of(member)
        if dataset is None:
            return
        described, uid = describe(dataset), str(dataset.get("SeriesInstanceUID") or "")
        if not described.unfit and "PixelData" not in dataset:
            described = replace(described, unfit=str(Why.NO_PIXELS))
        if described.unfit:
            self._other(uid, described)
            return
        refuse_slice(member, described)
        self.owners.add(dataset, described)
        try:
            images = slices_of(dataset, member)
        except InputError as error:  # told when this is the series that is wanted
            self.broken.setdefault(uid, error)
            self._other(uid, replace(described, unfit=str(Why.NOT_READABLE)))
            return
        for image in images:
            self._held += image.shape[0] * image.shape[1] * image.dtype.itemsize
            lasting = image if self._held <= limits.MAX_HELD else replace(image, pixels=None)
            self._stack_of(image).append(lasting)

    def _stack_of(self, image: Slice) -> list[Slice]:
        """The stack of the same series, part, size and orientation; a new one when there is none."""
        about = f"{image.series}/{image.described.part}/{image.shape}"
        keys = self._stacks[about]
        key = next((key for key in keys[-MOST_COMPARED:] if together(self.groups[key][0], image)), "")
        if not key:
            key = f"{about}/{len(keys)}"
            keys.append(key)
        return self.groups[key]

    def _other(self, uid: str, described: Described) -> None:
        before = self.others.get(uid)
        images = described.images + (before.images if before else 0)
        self.others[uid] = replace(before or described, images=images)


def dataset_of(member: Member) -> pydicom.Dataset | None:
    """The file's elements that count, None when it is no DICOM; BadSeries, TooLarge."""
    data = member.data(limits.MAX_DICOM_FILE)
    if not looks_like_dicom(data[:132]):
        return None
    try:
        plain = undeflated(data, most_bytes=limits.MAX_DICOM_FILE)
        return pydicom.dcmread(io.BytesIO(plain), specific_tags=TAGS)
    except UNREADABLE as error:
        raise BadSeries(f"a DICOM file cannot be read ({type(error).__name__})") from error


def slices_of(dataset: pydicom.Dataset, member: Member) -> list[Slice]:
    """The images of one file; BadSeries names what it lacks."""
    try:
        names = {name: str(dataset.get(name) or "") for name in NAMES}
        one = partial(_slice, dataset, member=member, names=names)
        return [one(frame) for frame in frames_of(dataset)]
    except (AttributeError, KeyError) as error:
        raise BadSeries(f"a DICOM file lacks what a slice needs ({error})") from error
    except UNREADABLE as error:
        raise BadSeries(f"a DICOM file cannot be read ({type(error).__name__})") from error


def _slice(dataset: pydicom.Dataset, frame: Frame, *, member: Member, names: dict[str, str]) -> Slice:
    axes, position = np.array(frame.orientation).reshape(2, 3), np.array(frame.position).reshape(3)
    if not (np.isfinite(axes).all() and np.isfinite(position).all()):
        raise BadSeries("a slice's position or orientation is not finite")
    row, column = frame.spacing
    pixels = pixels_of(dataset, frame.index)
    return Slice(
        member=member,
        series=f"{dataset.SeriesInstanceUID}/{frame.kind}",
        uid=str(dataset.SOPInstanceUID),
        frame=frame.index,
        described=describe(dataset, frame.type_item),
        position=position,
        axes=axes,
        spacing=(row, column),
        rescale=frame.rescale,
        shape=(pixels.shape[0], pixels.shape[1]),
        dtype=pixels.dtype,
        pixels=pixels,
        names=names,
    )
