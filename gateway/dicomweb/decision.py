"""What is to become of a collected study: a pure function of what came, of the time and of the settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from contracts.errors import HippocampError, IncompleteSeries, SeveralStudies
from contracts.series_read import PassedOver
from gateway.dicomweb.settings import InboxSettings
from imaging.completeness import Doubt, Missing, missing
from imaging.described import Described
from imaging.limits import LEAST_SLICES
from imaging.places import Place
from imaging.series import Selection, Why, is_t1, passed_over, select
from jobstore.inbox_records import Item, Study

OTHERS = "~"
"""Behind a series' name: what was said of its instances that are not for us."""

_NUMBERS_WAIT = 10
"""Quiet times for which holes in the scanner's numbers alone hold a series up."""


@dataclass(frozen=True)
class Series:
    """One series as it came. others: instances of it that are not for us: phase images, say."""

    described: Described
    items: Sequence[Item]
    others: PassedOver | None = None

    @cached_property
    def places(self) -> list[Place]:
        """Of every instance, those that are not for us included: they count where images are counted."""
        return [Place.of(one.place) for one in self.items]

    @property
    def stored(self) -> list[Item]:
        """Those whose image is kept, in the same order whatever the order in which they came."""
        return sorted((one for one in self.items if one.chunk), key=lambda one: one.id)

    @property
    def digest(self) -> str:
        """Of what an answer would be about."""
        return hashlib.sha256("\n".join(one.id for one in self.stored).encode()).hexdigest()


@dataclass(frozen=True)
class Wait:
    """Nothing yet. why: for people."""

    until_ms: int
    why: str


@dataclass(frozen=True)
class Submit:
    """A job: of the series, or one that ends at once with the error. digest: what it is about."""

    digest: str
    series: Series | None = None
    passed: tuple[PassedOver, ...] = ()
    error: HippocampError | None = None


@dataclass(frozen=True)
class Answered:
    """What came last changes nothing of the job that was made."""


@dataclass(frozen=True)
class Forget:
    """It is of no use any more."""

    why: str


Decision = Wait | Submit | Answered | Forget


def series_of(study: Study, items: Sequence[Item]) -> dict[str, Series]:
    """The study's series by their names in the inbox."""
    found: dict[str, list[Item]] = {}
    for one in items:
        found.setdefault(one.series, []).append(one)
    return {name: _series(name, study.series, these) for name, these in found.items()}


def _series(name: str, told: Mapping[str, str], items: Sequence[Item]) -> Series:
    ours, others = told.get(name), told.get(name + OTHERS)
    stored = [one for one in items if one.chunk]
    described = _described(ours if stored else others or ours, stored or items)
    rest = [one for one in items if not one.chunk]
    if not (stored and rest and others):
        return Series(described, items)
    beside = _described(others, rest)
    why = Why(beside.unfit) if beside.unfit else Why.PART if beside.part else Why.OTHER
    return Series(described, items, passed_over(beside, why))


def _described(text: str | None, items: Sequence[Item]) -> Described:
    found = Described.of(json.loads(text or "{}"))
    return replace(found, images=sum(Place.of(one.place).images for one in items))


@dataclass(frozen=True)
class Moment:
    """When a study is looked at. last_ms: when something last came. closing: its sender says it is whole."""

    now_ms: int
    last_ms: int
    settings: InboxSettings
    closing: bool = False

    def wait(self, most_ms: int, why: str) -> Wait | None:
        """For so long after the last arrival; None when that is over."""
        until = self.last_ms + most_ms
        return None if self.closing or self.now_ms >= until else Wait(until, why)


def decide(
    study: Study, items: Sequence[Item], settings: InboxSettings, *, now_ms: int, allow_agent: bool = False
) -> Decision:
    """Wait, submit, or forget."""
    if study.is_scored:
        until = study.number("scored_ms") + settings.keep_ms
        return Wait(until, "") if now_ms < until else Forget("it was kept as long as settings say")
    moment = Moment(now_ms, study.number("last_ms"), settings, bool(study.text("closing")))
    if wait := moment.wait(settings.quiet_ms, f"quiet for {settings.quiet_seconds:g} s"):
        return wait
    if study.text("mixed"):
        return Submit("mixed", error=SeveralStudies(_MIXED))
    found = _chosen(series_of(study, items), moment, allow_agent=allow_agent)
    if isinstance(found, Forget) and study.text("job"):
        return Answered()
    if isinstance(found, Submit) and found.digest == study.text("scored_set"):
        return Answered()
    return found


_MIXED = (
    "Images of several patients were sent under one study, so nobody knows whose the answer would be. "
    "Correct the study where it comes from, and send it again"
)


def _chosen(series: Mapping[str, Series], moment: Moment, *, allow_agent: bool) -> Decision:
    """The best series that is complete; while time is left, the best one is waited for."""
    described = {name: one.described for name, one in series.items()}
    lacking: dict[str, Missing] = {}
    while (selection := select(described, allow_agent=allow_agent, strict=True)).chosen is not None:
        name = selection.chosen
        lack = missing(series[name].places)
        if lack and (wait := moment.wait(_most_wait(lack, moment.settings), _why(described[name], lack))):
            return wait
        if lack is None or lack.doubt is not Doubt.GAP:
            return _submitted(series, selection, lack)
        lacking[name] = lack
        described[name] = replace(described[name], unfit=str(Why.INCOMPLETE))
    return _without(series, lacking, moment)


def _most_wait(lack: Missing, settings: InboxSettings) -> int:
    """Holes in the scanner's numbers alone prove little: some scanners count so."""
    if lack.doubt is Doubt.NUMBER:
        return min(settings.limit_ms, _NUMBERS_WAIT * settings.quiet_ms)
    return settings.limit_ms


def _why(one: Described, lack: Missing) -> str:
    number = f"series {one.number}" if one.number else "a series"
    return f"{number}{f' {one.words!r}' if one.words else ''}: {lack.text}"


def _submitted(series: Mapping[str, Series], selection: Selection[str], lack: Missing | None) -> Submit:
    """The chosen series with all that its result must list."""
    chosen = series[selection.chosen or ""]
    passed = [passed_over(series[name].described, why) for name, why in selection.passed.items()]
    passed += [one.others for one in series.values() if one.others]
    if lack:
        short = replace(chosen.described, images=lack.announced)
        passed.insert(0, replace(passed_over(short, Why.MISSING), reason=lack.text))
    return Submit(chosen.digest, chosen, tuple(passed))


def _without(series: Mapping[str, Series], lacking: Mapping[str, Missing], moment: Moment) -> Decision:
    """No series is complete: T1 series of which too little came end as a failure that says what lacks."""
    few = {
        name: Missing(Doubt.GAP, f"{one.described.images} images came; a volume has {LEAST_SLICES} or more")
        for name, one in series.items()
        if one.stored and one.described.images < LEAST_SLICES and is_t1(one.described)
    }
    found = {**few, **lacking}
    told = "; ".join(_why(series[name].described, lack) for name, lack in found.items())
    if wait := moment.wait(moment.settings.limit_ms, told or "no T1-weighted series has come"):
        return wait
    if not found:
        return Forget("no T1-weighted series came")
    digest = hashlib.sha256("\n".join(series[name].digest for name in sorted(found)).encode()).hexdigest()
    return Submit(digest, error=IncompleteSeries(f"{told}. Send the images that are missing, or all"))
