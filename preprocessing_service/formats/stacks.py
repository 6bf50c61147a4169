"""The stacks of one series: images of one orientation belong together, and half of a series is not read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from contracts.errors import BadSeries
from imaging.described import Described

SAME = 1e-3
"""How far the cosines of one stack's images may differ: scanners round them, and write -0 for 0."""

PARALLEL = 0.99
"""Cosine between the normals of stacks that may be parts of one volume."""

APART = 0.1
"""An image nearer than this share of the gap to another one lies at its place: another echo or type."""

MOST_COMPARED = 64
"""Orientations of one series, the latest ones, that a further image is compared with."""


class Placed(Protocol):
    """An image of a series and where it lies (mm)."""

    @property
    def described(self) -> Described: ...
    @property
    def position(self) -> npt.NDArray[np.float64]: ...
    @property
    def axes(self) -> npt.NDArray[np.float64]: ...
    @property
    def names(self) -> dict[str, str]: ...


def together(one: Placed, other: Placed) -> bool:
    """Whether both are of one orientation."""
    return bool(np.abs(one.axes - other.axes).max() <= SAME)


def refuse_part(chosen: Sequence[Placed], others: Iterable[Sequence[Placed]]) -> None:
    """BadSeries when images of the same series lie between those of the chosen stack, or go on where it ends.

    Even and odd slices of slightly different orientation are two stacks, each even by itself.
    """
    first, normal = chosen[0], np.cross(*chosen[0].axes)
    places = np.sort([float(image.position @ normal) for image in chosen])
    gap = float(np.median(np.diff(places))) if len(places) > 1 else 0.0
    for other in others:
        image = other[0]
        if image.names["SeriesInstanceUID"] != first.names["SeriesInstanceUID"] or image.described.part:
            continue
        if abs(float(np.cross(*image.axes) @ normal)) < PARALLEL:
            continue
        missed = [one for one in other if _between(float(one.position @ normal), places, gap)]
        if missed:
            raise BadSeries(
                f"{len(missed)} images of the series lie between or beside the {len(chosen)} that form one "
                "stack, and their orientation or size differs: half a head would be read. Send the series as "
                "the scanner made it"
            )


def _between(place: float, places: npt.NDArray[np.float64], gap: float) -> bool:
    inside = places[0] - 1.5 * gap < place < places[-1] + 1.5 * gap
    return inside and float(np.abs(places - place).min()) > APART * gap
