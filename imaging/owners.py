"""Whose images one upload holds: it may be one study of one person, or nobody knows which answer is whose."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset

from contracts.errors import SeveralStudies
from imaging.described import Described


@dataclass
class Owners:
    """Collects the MR images of an upload; reports, captures and other objects beside them do not count."""

    _studies: set[str] = field(default_factory=set)
    _ids: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)
    _images: Counter[str] = field(default_factory=Counter)
    _series: dict[str, Described] = field(default_factory=dict)

    def add(self, header: Dataset, described: Described) -> None:
        """Note an instance, by its header as it was sent or as it is stored."""
        if described.unfit:
            return
        self._studies.add(str(header.get("StudyInstanceUID") or ""))
        self._ids.add(str(header.get("PatientID") or "").strip().upper())
        self._names.add(re.sub(r"\W", "", str(header.get("PatientName") or "").upper()))
        uid = str(header.get("SeriesInstanceUID") or "")
        self._series.setdefault(uid, described)
        self._images[uid] += described.images

    def check(self) -> None:
        """SeveralStudies, naming what was found without an identifier."""
        studies, patients = len(self._studies - {""}), self._patients()
        if studies <= 1 and patients <= 1:
            return
        raise SeveralStudies(
            f"The upload holds images of {_count(patients, 'patient')} and {_count(studies, 'study')}: "
            f"{self._listed()}. Send each study of each person as an upload of its own",
            patients=patients,
            studies=studies,
            series=len(self._series),
        )

    def _patients(self) -> int:
        """By their identifiers; by their names only where no image has an identifier."""
        return len(self._ids - {""}) or len(self._names - {""}) or 1

    def _listed(self) -> str:
        found = [replace(one, images=self._images[uid]) for uid, one in self._series.items()]
        lines = [
            f"series {one.number or '?'}{f' {one.words!r}' if one.words else ''} ({one.images} images)"
            for one in sorted(found, key=lambda one: (one.number, one.words))
        ]
        return "; ".join(lines[:12]) + ("; ..." if len(lines) > 12 else "")


def _count(number: int, what: str) -> str:
    plural = what if number == 1 else "studies" if what == "study" else f"{what}s"
    return f"{number} {plural}"
