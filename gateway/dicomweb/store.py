"""The Store transaction: every instance of a request is judged, and the answer says so one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset

from contracts.errors import TooLarge
from gateway.dicomweb.collecting import Brought, Verdict
from gateway.dicomweb.instances import CANNOT_UNDERSTAND, MISMATCH, RESOURCES, Instance, Unusable
from gateway.dicomweb.related import Part
from imaging.limits import MAX_INSTANCES

MEDIA_TYPE = "application/dicom"
MOST_PARTS = MAX_INSTANCES
"""Parts of a request; the next one ends it."""
_MOST_UNREAD = 100
"""Parts without an identity that the answer lists one by one."""


@dataclass
class Store:
    """One request. study: the only one it may hold, "" for any. sizes: of instances. brought: each."""

    study: str = ""
    sizes: list[int] = field(default_factory=list)
    brought: list[Brought] = field(default_factory=list)
    stored: list[Instance] = field(default_factory=list)
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

    def sort(self, found: Iterable[Mapping[str, Any]]) -> None:
        """Note what was found (gateway.uploads.sanitize.task) of each instance."""
        for one in found:
            if "reason" in one:
                self.failed.append((None, Unusable(one["reason"], one["text"])))
                continue
            instance = Instance.of(one["about"])
            if self.study and instance.study != self.study:
                self.failed.append((instance, Unusable(MISMATCH, f"of another study than {self.study}")))
            else:
                self.brought.append(Brought(instance, *(one["place"] or ())))

    def note(self, verdicts: Iterable[Verdict]) -> None:
        """What was taken and what was not."""
        for instance, failure in verdicts:
            if failure:
                self.failed.append((instance, failure))
            else:
                self.stored.append(instance)

    @property
    def status(self) -> int:
        """200 all stored, 202 some, 409 none (PS3.18, table 10.5.3-1)."""
        if not self.stored:
            return 409
        return 202 if self.failed else 200

    def answer(self, link: Callable[[str], str]) -> Dataset:
        """Store Instances Response (PS3.18, annex I). link: study -> where its jobs are to be found."""
        answer = Dataset()
        stored = [_item(one, RetrieveURL=link(one.study)) for one in self.stored]
        if len({one.study for one in self.stored}) == 1:
            answer.RetrieveURL = link(self.stored[0].study)
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
