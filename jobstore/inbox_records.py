"""What the inbox knows of instances and studies, as plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def study_key(site: str, uid: str) -> str:
    """The name of a study of a site in the inbox; uid: as it is stored."""
    return hashlib.sha256(f"{site}\0{uid}".encode()).hexdigest()[:32]


def short(uid: str) -> str:
    """The name of an instance or series within its study."""
    return hashlib.sha256(uid.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Bounds:
    """What the collected instances of one site may come to."""

    bytes: int
    instances: int
    studies: int


@dataclass(frozen=True)
class Item:
    """One instance. chunk: the blob that holds its `size` bytes at `at`, "" for a header without an image.

    place: plain data, see imaging/places.py.
    """

    id: str
    series: str
    place: list[Any]
    chunk: str = ""
    at: int = 0
    size: int = 0

    def row(self) -> list[Any]:
        """As inbox_add.lua takes it."""
        text = json.dumps([self.series, self.place, self.chunk, self.at, self.size], separators=(",", ":"))
        return [self.id, self.series, self.size, text]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Of what a request brought for one study. person: tells people apart, and is too short to name one.

    keep: what of the patient to note; age, sex: that, when it was asked for. trace: of the request.
    """

    site: str
    uid: str
    person: str = ""
    keep: str = ""
    age: str = ""
    sex: str = ""
    trace: str = ""

    @property
    def study(self) -> str:
        """The study's name in the inbox."""
        return study_key(self.site, self.uid)


@dataclass(frozen=True)
class Study:
    """One collected study as the index has it."""

    id: str
    fields: Mapping[str, str]
    series: Mapping[str, str] = field(default_factory=dict)
    jobs: Sequence[str] = ()

    def text(self, name: str) -> str:
        """A field, "" when absent."""
        return self.fields.get(name, "")

    def number(self, name: str) -> int:
        """A field, 0 when absent."""
        return int(self.fields.get(name) or 0)

    @property
    def is_scored(self) -> bool:
        """Whether nothing came since its last job was made."""
        return bool(self.text("job")) and self.text("scored_version") == self.text("version")


@dataclass(frozen=True)
class Held:
    """A study that this process may decide about, as long as its lease lasts."""

    study: str
    fence: str
