"""Where one DICOM instance lies in its series, in a few numbers that may be kept beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from imaging.described import Described

_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Place:
    """One instance. position, axes: mm and cosines (LPS+), () when the header does not give them.

    kind: what tells stacks of one series apart: echo, part of a complex image, size. number: as the scanner
    counts, 0 when not given. images: frames. announced: images of the series, or of the acquisition, as the
    header says, 0 when it does not. step, thickness: mm from slice to slice and of one slice, 0 when not
    given.
    """

    position: tuple[float, ...] = ()
    axes: tuple[float, ...] = ()
    kind: str = ""
    number: int = 0
    images: int = 1
    announced: int = 0
    step: float = 0.0
    thickness: float = 0.0

    def to_list(self) -> list[Any]:
        """Plain data, short."""
        return list(vars(self).values())

    @classmethod
    def of(cls, found: list[Any]) -> Place:
        """Read what `to_list` wrote."""
        position, axes, kind, number, images, announced, step, thickness = found
        return cls(
            position=tuple(position), axes=tuple(axes), kind=kind, number=number, images=images,
            announced=announced, step=step, thickness=thickness,
        )  # fmt: skip


def place_of(header: Dataset, described: Described) -> Place:
    """Of a header as it was sent; what is not a number is not given."""
    size = f"{_number(header, 'Rows'):g}x{_number(header, 'Columns'):g}"
    announced = max(_whole(header, "NumberOfSeriesRelatedInstances"), _whole(header, "ImagesInAcquisition"))
    return Place(
        position=_numbers(header, "ImagePositionPatient", 3),
        axes=_numbers(header, "ImageOrientationPatient", 6),
        kind=f"{_whole(header, 'EchoNumbers')}/{described.part}/{size}",
        number=_whole(header, "InstanceNumber"),
        images=described.images,
        announced=announced,
        step=abs(_number(header, "SpacingBetweenSlices")),
        thickness=abs(_number(header, "SliceThickness")),
    )


def _numbers(header: Mapping[Any, Any] | Dataset, name: str, count: int) -> tuple[float, ...]:
    try:
        found = tuple(round(float(one), _DIGITS) + 0.0 for one in header.get(name) or ())
    except (TypeError, ValueError):
        return ()
    return found if len(found) == count and all(map(math.isfinite, found)) else ()


def _number(header: Dataset, name: str) -> float:
    try:
        found = float(str(header.get(name)))
    except ValueError:
        return 0.0
    return round(found, _DIGITS) if math.isfinite(found) else 0.0


def _whole(header: Dataset, name: str) -> int:
    return max(0, min(int(_number(header, name)), 1 << 31))
