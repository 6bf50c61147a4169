"""Where each frame of a DICOM file lies: a slice, or many in an enhanced image (PS3.3, C.7.6.16)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom.dataset import Dataset

from contracts.errors import BadSeries, TooLarge
from imaging import limits


@dataclass(frozen=True)
class Frame:
    """Geometry in mm (LPS+) and what tells frames of one series apart: echo, and the enhanced frame's type.

    spacing: between rows, between columns. type_item: what tells its type, empty for a classic image.
    """

    index: int
    kind: str
    position: list[float]
    orientation: list[float]
    spacing: tuple[float, float]
    rescale: tuple[float, float]
    type_item: Dataset = field(default_factory=Dataset)


def frames_of(dataset: Dataset) -> Iterator[Frame]:
    """Every frame of the file; BadSeries, AttributeError and KeyError for what it lacks."""
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        if count > 1:
            raise BadSeries("several frames without functional groups do not tell where they lie")
        yield _frame(0, str(dataset.get("EchoNumbers")), [dataset] * 4)
        return
    groups = dataset.PerFrameFunctionalGroupsSequence
    if count > limits.MAX_FRAMES:
        raise TooLarge(f"{count} frames; {limits.MAX_FRAMES} are taken")
    if len(groups) != count:
        raise BadSeries(f"{len(groups)} functional groups for {count} frames")
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for index, own in enumerate(groups):
        yield _enhanced(index, own, shared)


_GEOMETRY = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")


def _enhanced(index: int, own: Dataset, shared: Dataset) -> Frame:
    found = [_macro(name, own, shared) for name in (*_GEOMETRY, "PixelValueTransformationSequence")]
    missing = [name for name, one in zip(_GEOMETRY, found, strict=False) if one is None]
    if missing:
        raise BadSeries(f"a frame has no {missing[0]}")
    echo = _macro("MREchoSequence", own, shared) or Dataset()
    kind = _macro("MRImageFrameTypeSequence", own, shared) or Dataset()
    told = f"{echo.get('EffectiveEchoTime')}/{kind.get('FrameType')}"
    return replace(_frame(index, told, [one or Dataset() for one in found]), type_item=kind)


def _macro(name: str, own: Dataset, shared: Dataset) -> Dataset | None:
    """The item of a functional group: the frame's own, else the one that all frames share."""
    for group in (own, shared):
        if items := group.get(name):
            return items[0]  # type: ignore[no-any-return]
    return None


def _frame(index: int, kind: str, holders: list[Dataset]) -> Frame:
    position, orientation, measures, values = holders
    row, column = (float(size) for size in measures.PixelSpacing)
    return Frame(
        index=index,
        kind=kind,
        position=[float(x) for x in position.ImagePositionPatient],
        orientation=[float(x) for x in orientation.ImageOrientationPatient],
        spacing=(row, column),
        rescale=(_number(values.get("RescaleSlope"), 1.0), _number(values.get("RescaleIntercept"), 0.0)),
    )


def _number(value: Any, default: float) -> float:
    return default if value is None else float(value)
