"""Which of several series of one study is the plain T1 volume: one rule for every door.

What cannot be it is passed over with a reason. Of the others the best is taken, by kind before size: without
a contrast agent, a T1 by name or inversion before one by its other times, as the scanner made it, a gradient
echo before a spin echo; then the most images, the finest voxels, the lowest number.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from contracts import series_words as words
from contracts.errors import BadSeries, ContrastEnhanced, InputError
from contracts.series_read import PassedOver
from imaging.described import Described
from imaging.limits import LEAST_SLICES


class Why(StrEnum):
    """Why a series is not read; the codes of `passed_over` in results."""

    NOT_MR = "not_mr"
    COLOUR = "colour"
    NO_PIXELS = "no_pixels"
    NOT_READABLE = "not_readable"
    PART = "complex_part"
    LOCALIZER = "localizer"
    INVERSION = "inversion_image"
    SUBTRACTION = "subtraction"
    OTHER = "other_contrast"
    FEW = "few_images"
    AGENT = "contrast_agent"
    DERIVED = "derived"
    NOT_T1 = "not_t1"
    ANOTHER = "another_t1"
    INCOMPLETE = "incomplete"
    MISSING = "missing_images"


REASONS = {
    Why.NOT_MR: "no MR image",
    Why.COLOUR: "a colour picture",
    Why.NO_PIXELS: "it holds no pixels",
    Why.NOT_READABLE: "its images cannot be read",
    Why.PART: "phase, real or imaginary part",
    Why.LOCALIZER: "a localizer",
    Why.INVERSION: "an inversion image of MP2RAGE",
    Why.SUBTRACTION: "a subtraction",
    Why.OTHER: "another contrast than plain T1",
    Why.FEW: f"fewer than {LEAST_SLICES} images",
    Why.AGENT: "taken with a contrast agent",
    Why.DERIVED: "derived or reformatted, and an original is there",
    Why.NOT_T1: "neither its names nor its times are those of a T1 series",
    Why.ANOTHER: "a T1 series too; another one was preferred",
    Why.INCOMPLETE: "slices are missing",
    Why.MISSING: "images of the series that was read did not come",
}

Key = TypeVar("Key", bound=Hashable)
_TYPES = {
    Why.LOCALIZER: {"LOCALIZER"},
    Why.INVERSION: {"INV1", "INV2"},
    Why.SUBTRACTION: {"SUB", "SUBTRACTION"},
    Why.OTHER: {"ADC", "TRACEW", "FA", "T1 MAP", "MIP", "MIN IP", "PROJECTION IMAGE"},
}
LONGEST_ECHO = 12
"""Echo time of a T1 gradient echo, ms."""

LEAST_INVERSION = 300
"""Inversion time of a T1 gradient echo, ms."""

_DERIVED = {"MPR", "CSA MPR", "REFORMATTED", "RESAMPLED"}
_NAMED = {
    Why.LOCALIZER: words.LOCALIZER_WORDS,
    Why.INVERSION: words.INVERSION_WORDS,
    Why.SUBTRACTION: words.SUBTRACTION_WORDS,
    Why.OTHER: words.OTHER_WORDS,
    Why.PART: words.PART_WORDS,
}


@dataclass(frozen=True)
class Selection(Generic[Key]):
    """chosen: None when none may be read. passed: all others and why. candidates: T1 series there were."""

    chosen: Key | None
    passed: dict[Key, Why]
    candidates: int = 0


def select(
    found: Mapping[Key, Described], *, allow_agent: bool = False, strict: bool = False
) -> Selection[Key]:
    """Choose among the series of one study. strict: what does not say that it is T1 is never read.

    Without `strict` the only stack of an upload is read although nothing says what it is: many archives
    remove all names and times. The quality gate judges its contrast. Beside a T1 after an agent it is not
    read.
    """
    passed = {key: why for key, one in found.items() if (why := why_not(one, allow_agent=allow_agent))}
    fit = [key for key in found if key not in passed]
    if not fit and len(found) == 1 and not strict:
        (key,) = found
        if passed[key] is Why.FEW:  # its shape is judged where it is read
            return Selection(key, {}, 1)
    eligible = [key for key in fit if is_t1(found[key])]
    agents = any(why is Why.AGENT and is_t1(found[key]) for key, why in passed.items())
    if not (eligible or strict or agents) and len(fit) == 1 and _silent(found[fit[0]]):
        eligible = fit
    if not eligible:
        return Selection(None, passed | dict.fromkeys(fit, Why.NOT_T1))
    chosen = min(eligible, key=lambda key: (_order(found[key]), str(key)))
    others = {key: _less(found[key]) for key in fit if key != chosen}
    return Selection(chosen, passed | others, len(eligible))


def why_not(one: Described, *, allow_agent: bool = False) -> Why | None:
    """What forbids that a series is read; None when nothing does."""
    if one.unfit:
        return Why(one.unfit)
    if one.part:
        return Why.PART
    for why, pattern in _NAMED.items():
        if _TYPES.get(why, set()) & set(one.image_type) or re.search(pattern, one.words, re.IGNORECASE):
            return why
    if one.images < LEAST_SLICES:
        return Why.FEW
    return Why.AGENT if with_agent(one) and not allow_agent else None


def with_agent(one: Described) -> bool:
    """Whether a contrast agent was given, by the header or by the name."""
    named = re.sub(words.WITHOUT_AGENT, "", one.words, flags=re.IGNORECASE)
    return one.agent or bool(re.search(words.WITH_AGENT, named, re.IGNORECASE))


def is_t1(one: Described) -> bool:
    """T1 weighting by name or by physics."""
    return named_t1(one) or t1_by_times(one)


def named_t1(one: Described) -> bool:
    """T1 weighting by name."""
    return bool(re.search(words.T1_WORDS, one.words, re.IGNORECASE))


def surely_t1(one: Described) -> bool:
    """By name or by an inversion: short times alone are those of CISS, FIESTA or QSM too."""
    return named_t1(one) or (t1_by_times(one) and one.inversion_ms >= LEAST_INVERSION)


def t1_by_times(one: Described) -> bool:
    """A short echo with a spoiled or inverted gradient echo, or a spin echo of short repetition."""
    if not (0 < one.echo_ms <= 30 and one.repetition_ms > 0):
        return False
    if "GR" in one.sequences:
        return one.echo_ms <= LONGEST_ECHO and (
            one.repetition_ms <= 100 or one.inversion_ms >= LEAST_INVERSION
        )
    return "SE" in one.sequences and one.repetition_ms <= 900


def _silent(one: Described) -> bool:
    """Whether the times are unknown too; enhanced images may give them without the kind of sequence."""
    return not (one.echo_ms or one.repetition_ms) or (not one.sequences and 0 < one.echo_ms <= LONGEST_ECHO)


def derived(one: Described) -> bool:
    """Made from other images. MP2RAGE's uniform image is, too, but it is what that scan is for."""
    if "UNI" in one.image_type or re.search(r"\buni\b", one.words):
        return False
    types = set(one.image_type)
    return "DERIVED" in types or bool(types & _DERIVED) or bool(re.search(words.DERIVED_WORDS, one.words))


def _order(one: Described) -> tuple[object, ...]:
    """Smaller is better."""
    gradient = "GR" in one.sequences or bool(re.search(r"rage|spgr|bravo|tfl|tfe|gre", one.words))
    kind = (with_agent(one), not surely_t1(one), not is_t1(one), derived(one), not gradient)
    return *kind, -one.images, one.voxel_mm3, one.echo_ms, one.number


def _less(one: Described) -> Why:
    if not is_t1(one):
        return Why.NOT_T1
    return Why.DERIVED if derived(one) else Why.AGENT if with_agent(one) else Why.ANOTHER


def passed_over(one: Described, why: Why) -> PassedOver:
    """The series as results list it."""
    return PassedOver(
        number=one.number, description=one.words, images=one.images, code=str(why), reason=reason_of(one, why)
    )


def reason_of(one: Described, why: Why) -> str:
    """The reason, with what was found."""
    if why is Why.NOT_MR:
        return f"modality {one.modality}, {REASONS[why]}" if one.modality != "MR" else REASONS[why]
    if why is Why.FEW:
        return f"{one.images} slices, a volume has {LEAST_SLICES} or more"
    if why is Why.NOT_T1:
        return f"neither its names nor TR {one.repetition_ms:g} ms, TE {one.echo_ms:g} ms say T1"
    named = re.search(_NAMED[why], one.words, re.IGNORECASE) if why in _NAMED else None
    return f"{REASONS[why]} (named {named.group()!r})" if named else REASONS[why]


def refusal(passed: list[PassedOver]) -> InputError:
    """Why no series of an upload is read, naming each."""
    listed = "; ".join(text_of(one) for one in passed[:12])
    more = f"; and {len(passed) - 12} more" if len(passed) > 12 else ""
    if any(one.code == Why.AGENT for one in passed):
        return ContrastEnhanced(
            f"The only T1 series was taken with a contrast agent ({listed}{more}). Send the plain T1 series"
        )
    return BadSeries(f"No T1-weighted series was found: {listed}{more}. Send the plain T1 series")


def text_of(one: PassedOver) -> str:
    """A series in one line."""
    number = f"series {one.number}" if one.number else "a series"
    named = f" {one.description!r}" if one.description else ""
    return f"{number}{named} ({one.images} images): {one.reason}"
