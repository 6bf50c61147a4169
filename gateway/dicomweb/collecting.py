"""Instances into the inbox: what of them is for us, the chunk that holds them, their entry in the index."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO

import redis

from contracts.errors import SeveralStudies, StoreUnavailable
from gateway.dicomweb.decision import OTHERS
from gateway.dicomweb.instances import MISMATCH, NOT_SUPPORTED, RESOURCES, Instance, Unusable
from gateway.resources import Resources
from gateway.uploads.spool import nameless
from imaging.deidentify import pseudonym
from imaging.limits import LEAST_SLICES
from imaging.patient import asked_for
from imaging.series import Why, is_t1, reason_of, why_not
from jobstore.inbox_records import Item, Owner, short, study_key
from runtime.redis_failures import failure_of

_SEVERAL = f"{SeveralStudies.code}: images of several patients in one study"
_FULL = {
    "full:bytes": "the inbox is full: the site collects as many bytes as it may",
    "full:instances": "the inbox is full: the site collects as many instances as it may",
    "full:studies": "the inbox is full: the site collects as many studies as it may",
}


@dataclass(frozen=True)
class Brought:
    """One instance of a request, which lies cleaned at `at` in the request's file; size 0: it was not kept.

    ignored: why it is never part of a T1 series, "" when it may be.
    """

    instance: Instance
    at: int = 0
    size: int = 0
    ignored: str = ""


@dataclass(frozen=True)
class Sender:
    """Who sends. keep: what of the patient to note. secret: UIDs are mapped with it."""

    site: str
    keep: str = ""
    secret: str = ""
    trace: str = ""
    allow_agent: bool = False

    def stored_uid(self, uid: str) -> str:
        """As it stands in what is stored."""
        return pseudonym(uid, self.secret) if self.secret else uid


Verdict = tuple[Instance, Unusable | None]
"""An instance, and why it was not taken; None when it was."""


def collect(brought: Sequence[Brought], file: IO[bytes], sender: Sender, to: Resources) -> Iterator[Verdict]:
    """Take the instances of one request, study by study. Errors of the stores are raised.

    What was taken before the error is there: who sends it again changes nothing by it.
    """
    studies: dict[str, list[Brought]] = defaultdict(list)
    for one in brought:
        why = not_for_us(one.instance, allow_agent=sender.allow_agent)
        studies[one.instance.study].append(replace(one, ignored=why))
    for uid, these in studies.items():
        yield from _Collection(sender, to, uid).take(these, file)


def not_for_us(instance: Instance, *, allow_agent: bool) -> str:
    """Why this instance is never part of a T1 series that is read, "" when it may be."""
    whole = replace(instance.described, images=max(instance.described.images, LEAST_SLICES))
    why = why_not(whole, allow_agent=allow_agent) or (None if is_t1(whole) else Why.NOT_T1)
    return reason_of(whole, why) if why else ""


@dataclass(frozen=True)
class _Collection:
    sender: Sender
    to: Resources
    uid: str

    def take(self, brought: Sequence[Brought], file: IO[bytes]) -> Iterator[Verdict]:
        """Store what is new of them."""
        ours = [one for one in brought if not one.ignored]
        if len({one.instance.person for one in ours} - {""}) > 1:
            failure: Unusable | None = Unusable(MISMATCH, _SEVERAL)
        else:
            failure = self._stored(brought, ours, file)
        for one in brought:
            ignored = Unusable(NOT_SUPPORTED, f"ignored: {one.ignored}") if one.ignored else None
            yield one.instance, ignored or failure

    def _stored(
        self, brought: Sequence[Brought], ours: Sequence[Brought], file: IO[bytes]
    ) -> Unusable | None:
        owner = self._owner(ours)
        try:
            known = self.to.inbox.known(owner.study, [self._name(one.instance.uid) for one in brought])
            fresh = {self._name(one.instance.uid): one for one in brought}
            fresh = {name: one for name, one in fresh.items() if name not in known}
            kept = any(not one.ignored for one in fresh.values())
            chunk = f"inbox/{owner.site}/{owner.study}/{uuid.uuid4().hex}" if kept else ""
            items = list(self._written(chunk, fresh, file))
            why = self._added(owner, items, self._told(brought)) if items else ""
        except redis.RedisError as error:
            raise failure_of(error) from error
        if why and chunk:
            with suppress(StoreUnavailable):
                self.to.blobs.delete(chunk)  # no entry names it, and none will
        if not why or not ours:
            return None
        return Unusable(MISMATCH, _SEVERAL) if why == "person" else Unusable(RESOURCES, _FULL[why])

    def _added(self, owner: Owner, items: Sequence[Item], series: Mapping[str, str]) -> str:
        """Once more when what is of least use made room."""
        settings = self.to.settings.inbox
        while True:
            why = self.to.inbox.add(owner, items, series, bounds=settings.bounds, quiet_ms=settings.quiet_ms)
            if not why.startswith("full:") or not self._room_made(owner):
                return why

    def _room_made(self, owner: Owner) -> bool:
        """Forget the study that is quiet for longest of those that wait for nothing or hold no image."""
        inbox = self.to.inbox
        for name in inbox.studies(owner.site):
            study = inbox.find(name) if name != owner.study else None
            spare = study and (study.is_scored or study.text("bytes") == "0")
            if study and spare and inbox.forget(name, version=study.text("version")):
                return True
        return False

    def _written(self, chunk: str, fresh: Mapping[str, Brought], file: IO[bytes]) -> Iterator[Item]:
        """The entries; the images go into the chunk."""
        for name, one in fresh.items():
            if one.ignored:
                yield Item(name, self._name(one.instance.series), one.instance.place.to_list())
        if not chunk:
            return
        at = 0
        with nameless(self.to.blobs) as out:
            for name, one in fresh.items():
                if one.ignored:
                    continue
                file.seek(one.at)
                out.write(file.read(one.size))
                place = one.instance.place.to_list()
                yield Item(name, self._name(one.instance.series), place, chunk, at, one.size)
                at += one.size
            self.to.blobs.adopt(chunk, out)

    def _told(self, brought: Sequence[Brought]) -> dict[str, str]:
        """What the headers say of each series: of an instance that is for us, and of one that is not."""
        found: dict[str, str] = {}
        for one in brought:
            name = self._name(one.instance.series) + (OTHERS if one.ignored else "")
            if name not in found:
                found[name] = json.dumps(one.instance.described.to_json(), separators=(",", ":"))
        return found

    def _name(self, uid: str) -> str:
        """Of an instance or series in the index; made of the UID as it is stored, which tells no other."""
        return short(self.sender.stored_uid(uid))

    def _owner(self, ours: Sequence[Brought]) -> Owner:
        sender, uid = self.sender, self.sender.stored_uid(self.uid)
        first = ours[0].instance if ours else None
        person = next((one.instance.person for one in ours if one.instance.person), "")
        patient = first.patient.only(asked_for(sender.keep)) if first else None
        return Owner(
            site=sender.site,
            uid=uid,
            person=_few_bits(study_key(sender.site, uid), person) if person else "",
            keep=sender.keep if first else "",
            age=str(patient.age_years or "") if patient else "",
            sex=patient.sex if patient else "",
            trace=sender.trace,
        )


def _few_bits(study: str, person: str) -> str:
    """16 bits: enough to see that two are not the same, too few to find out who it is."""
    return hashlib.sha256(f"{study}\0{person}".encode()).hexdigest()[:4]
