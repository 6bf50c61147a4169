"""Where the template's grey matter lies beside white matter that lesions and wide ventricles hardly reach.

Deep nuclei are left out: age fills them with iron, and FLAIR and T2 then show them darker than white matter,
as T1 does. So is the white matter around the ventricles, where lesions lie.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
SPACING = 3
"""mm between the points."""

NAMES = (
    "cortex", "white under cortex", "insula", "capsules", "cerebellar cortex", "cerebellar white", "pons",
    "amygdala and hippocampus", "temporal white", "ventricles",
)  # fmt: skip
"""In the order of their numbers, from 1; 0 is none of them."""

PAIRS = ((2, 1), (4, 3), (6, 5), (7, 5), (9, 8))
"""White matter and its grey neighbour, by number."""

VENTRICLES = 10
PURE = 0.75
"""Share of a tissue from which a point of the template counts as it."""


def region_numbers(points: Floats, shares: tuple[Floats, Floats], depth: Floats) -> npt.NDArray[np.int8]:
    """(n,) number of the region of each point, mm in MNI space.

    shares: of grey and white matter, a little blurred. depth: mm below the brain's surface.
    """
    grey, white = shares
    place = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    high = points[:, 2] > -10
    cerebellum = (points[:, 1] < -35) & (points[:, 2] < -12)
    found = (
        (grey > PURE) & (depth < 12) & high,
        (white > PURE + 0.05) & (depth > 8) & (depth < 16) & high,
        (grey > PURE) & _within(place, (32, 42), (-15, 20), (-10, 14)),
        (white > PURE + 0.05) & _within(place, (16, 34), (-25, 30), (-4, 26)),
        (grey > PURE) & cerebellum & (depth > 6),
        (white > PURE) & cerebellum,
        (white > PURE - 0.1) & _within(place, (0, 10), (-40, -12), (-45, -8)),
        (grey > PURE) & _within(place, (16, 34), (-38, 2), (-28, -8)),
        (white > PURE) & _within(place, (28, 48), (-50, 0), (-22, 0)),
        (grey + white < 0.4) & (depth > 18) & _within(place, (2, 34), (-45, 40), (-12, 32)),
    )
    numbers = np.zeros(len(points), np.int8)
    for number, where in reversed(list(enumerate(found, 1))):
        numbers[where] = number
    return numbers


def _within(place: tuple[Floats, Floats, Floats], *spans: tuple[float, float]) -> Mask:
    inside = np.ones(len(place[0]), bool)
    for values, (low, high) in zip(place, spans, strict=True):
        inside &= (values >= low) & (values <= high)
    return inside
