"""Which of several DICOM series in one archive is the T1 volume."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from contracts.errors import BadSeries

LEAST = 16
"""Slices; shorter groups are localisers and stray images."""

T1 = re.compile(r"t1|mp-?rage|spgr|bravo|tfl|fspgr|ir-?fse_?3d|3d_?tfe|ir_?gre", re.IGNORECASE)
OTHER = re.compile(
    r"t2|flair|dwi|dti|adc|bold|asl|swi|tof|localizer|localiser|scout|\bpd\b|post|gad", re.IGNORECASE
)


class Labelled(Protocol):
    """Anything that knows the names its series goes by."""

    @property
    def label(self) -> str:
        """Description, protocol, sequence and image type in one string."""


Image = TypeVar("Image", bound=Labelled)


def choose(groups: Mapping[str, Sequence[Image]]) -> list[Image]:
    """The one group, or the largest that names itself T1 among several; BadSeries when that is a guess."""
    if len(groups) == 1:
        return list(next(iter(groups.values())))
    stacks = [group for group in groups.values() if len(group) >= LEAST]
    if len(stacks) == 1:
        return list(stacks[0])
    named = [group for group in stacks if T1.search(group[0].label) and not OTHER.search(group[0].label)]
    named.sort(key=len, reverse=True)
    if not named or (len(named) > 1 and len(named[0]) == len(named[1])):
        sizes = sorted((len(group) for group in groups.values()), reverse=True)
        raise BadSeries(
            f"{len(groups)} series of {sizes} slices and no single T1 among them; send one series"
        )
    return list(named[0])
