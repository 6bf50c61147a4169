"""Whether what came of a series is the whole of it, by where its images lie and what their headers announce.

0 1 2 3 4 5 (mm)   nothing is missing
0 1 2     5 6 7    a gap: slices are missing between
0   2   4   6      even, but 2 mm apart where one slice has 1 mm: every second one is missing
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median

from imaging.limits import LEAST_SLICES, MIN_ZOOM
from imaging.places import Place

TOLERANCE = 0.1
"""How far a gap may differ from the usual one, as a share of it; as where the series is read."""

SAME = 1e-3
"""How far cosines of one stack may differ."""

_FIRST = 5
"""A first number beyond so many times the images that came is no sign that images before it are missing."""

SPARSE = 1.5
"""Slices that lie so many steps apart leave others out."""


class Doubt(StrEnum):
    """gap: it cannot be read so. count: fewer images than announced. number: the numbers have holes."""

    GAP = "gap"
    COUNT = "count"
    NUMBER = "number"


@dataclass(frozen=True)
class Missing:
    """What seems to be missing. announced: images the series seems to have, 0 when nothing says how many."""

    doubt: Doubt
    text: str
    announced: int = 0


def missing(places: Iterable[Place]) -> Missing | None:
    """What the images of one series lack, None when nothing shows that one is missing."""
    found = list(places)
    return _gap(found) or _count(found) or _number(found)


def _gap(found: Sequence[Place]) -> Missing | None:
    if any(one.images >= LEAST_SLICES for one in found):
        return None  # a multi-frame instance is a volume of its own
    stack = max(_stacks(found), key=len, default=[])
    if len(stack) < LEAST_SLICES:
        return Missing(Doubt.GAP, f"{len(stack)} images came; a volume has {LEAST_SLICES} or more")
    text = _uneven(stack)
    return Missing(Doubt.GAP, text) if text else None


def _uneven(stack: Sequence[Place]) -> str:
    """Why the images do not lie evenly, "" when they do."""
    places = sorted(_along(one, stack[0]) for one in stack)
    gaps = [after - before for before, after in pairwise(places)]
    usual = median(gaps)
    if usual < MIN_ZOOM:
        return "several images lie at the same place"
    if max(gaps) > (1 + TOLERANCE) * usual:
        return f"slices are missing: one gap is {max(gaps):.2f} mm where {usual:.2f} mm is usual"
    if min(gaps) < (1 - TOLERANCE) * usual:
        return f"slices are missing: one gap is {min(gaps):.2f} mm where {usual:.2f} mm is usual"
    step = _step(stack)
    if step and usual > SPARSE * step:
        return f"slices are missing: they lie {usual:.2f} mm apart, and the series says {step:.2f} mm"
    return ""


def _step(stack: Sequence[Place]) -> float:
    """mm from slice to slice as far as the headers can be believed, 0 when they cannot.

    Scanners' numbers that follow one another outweigh them: some write the gap between two slices as their
    distance, some nothing where slices have a gap. Numbers that leave others out make the finest one count.
    """
    given = [edge for edge in (stack[0].step, stack[0].thickness) if edge]
    numbers = sorted({one.number for one in stack if one.number})
    if not given or (not numbers and not stack[0].step):
        return 0.0
    if not numbers:
        return max(given)
    return min(given) if median(b - a for a, b in pairwise(numbers)) >= 2 else 0.0


def _count(found: Sequence[Place]) -> Missing | None:
    announced, came = max(one.announced for one in found), len(found)
    if announced <= came:
        return None
    return Missing(Doubt.COUNT, f"{announced} images are announced in the headers, {came} came", announced)


def _number(found: Sequence[Place]) -> Missing | None:
    """Holes in the scanner's numbers, and those before the first, unless it counts through all series."""
    numbers = {one.number for one in found if one.number}
    if not numbers:
        return None
    before = min(numbers) - 1
    lacking = max(numbers) - len(numbers) - (0 if before <= _FIRST * len(numbers) else before)
    if lacking <= 0:
        return None
    text = f"the scanner counts to {max(numbers)}, and {lacking} of its numbers are absent"
    return Missing(Doubt.NUMBER, text, len(numbers) + lacking)


def _stacks(found: Iterable[Place]) -> list[list[Place]]:
    """Magnitude images of one kind and orientation belong together."""
    stacks: list[list[Place]] = []
    for one in found:
        if not (one.position and one.axes) or one.kind.split("/")[1]:
            continue
        mine = next((these for these in stacks if _together(these[0], one)), None)
        if mine is None:
            stacks.append([one])
        else:
            mine.append(one)
    return stacks


def _together(one: Place, other: Place) -> bool:
    turned = max(abs(a - b) for a, b in zip(one.axes, other.axes, strict=True))
    return one.kind == other.kind and turned <= SAME


def _along(one: Place, first: Place) -> float:
    """mm along the normal of the stack."""
    a, b = first.axes[:3], first.axes[3:]
    normal = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    return sum(x * n for x, n in zip(one.position, normal, strict=True))
