"""The Store transaction: every instance of a request is judged, and the answer says so one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from pydicom import Dataset

from contracts.errors import HippocampError, SeveralStudies, TooLarge
from contracts.job import Job
from contracts.series_read import PassedOver
from gateway.dicomweb.instances import (
    CANNOT_UNDERSTAND,
    MISMATCH,
    NOT_SUPPORTED,
    RESOURCES,
    Instance,
    Unusable,
)
from gateway.dicomweb.related import Part
from gateway.dicomweb.series import Series, SeriesUpload
from imaging.limits import MAX_INSTANCES
from imaging.series import passed_over, select

MEDIA_TYPE = "application/dicom"
MOST_PARTS = MAX_INSTANCES
"""Parts of a request; the next one ends it."""
_MOST_UNREAD = 100
"""Parts without an identity that the answer lists one by one."""
Submit = Callable[[SeriesUpload], Job]


@dataclass
class Store:
    """One request. study: the only one it may hold, "" for any. sizes: of instances. options: of its jobs."""

    study: str = ""
    sizes: list[int] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    stored: list[tuple[Instance, Job]] = field(default_factory=list)
    failed: list[tuple[Instance | None, Unusable]] = field(default_factory=list)
    _count: int = 0

    def instances(self, parts: Iterator[Part]) -> Iterator[bytearray]:
        """The parts that may be instances; the others are noted as failed. TooLarge at one too many."""
        for part in parts:
            try:
                self._look_at(part)
            except Unusable as unusable:
                self.failed.append((None, unusable))
            else:
                self.sizes.append(len(part.data))
                yield part.data

    def _look_at(self, part: Part) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise TooLarge(
                f"The request has more than {MOST_PARTS} parts; send the instances in several requests",
                limit_parts=MOST_PARTS,
            )
        if part.too_large:
            raise Unusable(RESOURCES, "the instance is too large; send it in a zip archive")
        if part.media not in {MEDIA_TYPE, ""}:
            raise Unusable(CANNOT_UNDERSTAND, f"a part of type {part.media}")

    def sort(self, found: Iterable[Mapping[str, Any]], spool: IO[bytes]) -> None:
        """Sort what was found (gateway.uploads.sanitize.task) into series; it lies cleaned in `spool`."""
        for one in found:
            if "reason" in one:
                self.failed.append((None, Unusable(one["reason"], one["text"])))
                continue
            instance = Instance.of(one["about"])
            if self.study and instance.study != self.study:
                self.failed.append((instance, Unusable(MISMATCH, f"of another study than {self.study}")))
            else:
                series = self.series.setdefault(instance.series, Series(instance, spool))
                series.add(instance, tuple(one["place"]) if one["place"] else None)

    def submit(self, submit: Submit, *, allow_agent: bool = False) -> None:
        """Make one job of the T1 series of each study; what is passed over or refused is noted as failed."""
        studies: dict[str, dict[str, Series]] = defaultdict(dict)
        for uid, series in self.series.items():
            studies[series.first.study][uid] = series
        for study in studies.values():
            self._submit_study(study, submit, allow_agent=allow_agent)

    def _submit_study(self, study: dict[str, Series], submit: Submit, *, allow_agent: bool) -> None:
        described = {uid: series.described for uid, series in study.items()}
        selection = select(described, allow_agent=allow_agent, strict=True)
        listed = [passed_over(described[uid], why) for uid, why in selection.passed.items()]
        for (uid, _), one in zip(selection.passed.items(), listed, strict=True):
            self._fail(study[uid], Unusable(NOT_SUPPORTED, f"ignored: {one.reason}"))
        if selection.chosen is None:
            return
        chosen = study[selection.chosen]
        if len({one.person for one in chosen.instances.values()} - {""}) > 1:
            self._fail(chosen, Unusable(MISMATCH, f"{SeveralStudies.code}: images of several patients"))
            return
        self._submit_one(chosen, listed, submit)

    def _submit_one(self, series: Series, listed: list[PassedOver], submit: Submit) -> None:
        """A refusal that may pass, or a fault of ours, is raised while nothing is stored; later it is one of
        these series alone, so that nobody sends those again that were taken.
        """
        try:
            job = submit(SeriesUpload(series, listed, options=self.options))
        except HippocampError as error:
            ours = error.retryable or error.status >= 500
            if ours and not self.stored:
                raise
            reason = RESOURCES if ours else CANNOT_UNDERSTAND
            self._fail(series, Unusable(reason, f"{error.code}: {error.detail}"))
        else:
            self.stored += [(one, job) for one in series.instances.values()]

    def _fail(self, series: Series, why: Unusable) -> None:
        self.failed += [(one, why) for one in series.instances.values()]

    @property
    def status(self) -> int:
        """200 all stored, 202 some, 409 none (PS3.18, table 10.5.3-1)."""
        if not self.stored:
            return 409
        return 202 if self.failed else 200

    def answer(self, link: Callable[[Job], str]) -> Dataset:
        """Store Instances Response (PS3.18, annex I): RetrieveURL is the job's address."""
        answer = Dataset()
        stored = [_item(one, RetrieveURL=link(job)) for one, job in self.stored]
        failed = [_item(one, FailureReason=why.reason, TextValue=why.text) for one, why in self.failed if one]
        unread = _unread([why for one, why in self.failed if not one])
        for name, items in (("ReferencedSOP", stored), ("FailedSOP", failed), ("OtherFailures", unread)):
            if items:
                setattr(answer, f"{name}Sequence", items)
        return answer


def _unread(found: list[Unusable]) -> list[Dataset]:
    """One item each, as far as anybody reads a list; how many more there are stands in the last."""
    items = [_item(None, FailureReason=why.reason, TextValue=why.text) for why in found[:_MOST_UNREAD]]
    if more := len(found) - len(items):
        items.append(_item(None, FailureReason=found[-1].reason, TextValue=f"and {more} parts more"))
    return items


def _item(instance: Instance | None, **about: str | int) -> Dataset:
    item = Dataset()
    if instance:
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.sop_class, instance.uid
    for name, value in about.items():
        setattr(item, name, value)
    return item
