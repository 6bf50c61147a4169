"""The series of one request: collected on disk, judged by their headers, handed on as one zip each."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from gateway.cleaning.task import Cleaned
from gateway.dicomweb.instances import NOT_SUPPORTED, Instance, Unusable
from gateway.sniff import Media, Sniffed
from gateway.spool import Sent

LEAST_SLICES = 16
"""Shorter series are localisers and single pictures, as in preprocessing."""

_PIECE = 1 << 18
_SPOOL = 8 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_T1 = re.compile(r"t1|mp-?rage|spgr|bravo|tfl|3d_?tfe|ir_?gre", re.IGNORECASE)
_OTHER = re.compile(
    r"t2|flair|dwi|dti|diff|adc|trace|bold|fmri|perf|asl|swi|tof|mra\b|local|scout|survey|\bpd\b|post|gad|\+c\b|mpr\b",
    re.IGNORECASE,
)


@dataclass
class Series:
    """Instances of one series, which lie cleaned in `spool`, a file that the request holds."""

    first: Instance
    spool: IO[bytes]
    instances: dict[str, Instance] = field(default_factory=dict)
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, instance: Instance, place: tuple[int, int]) -> None:
        """Keep it, by its first byte and its size; an instance that came before is kept once."""
        if instance.uid not in self.instances:
            self.instances[instance.uid] = instance
            self._places[instance.uid] = place

    def judge(self) -> None:
        """Unusable, with the reason, unless the headers say that this is a T1-weighted stack."""
        one, count = self.first, sum(instance.frames for instance in self.instances.values())
        if one.modality != "MR":
            raise Unusable(NOT_SUPPORTED, f"ignored: modality {one.modality or 'not given'}, MR is needed")
        if count < LEAST_SLICES:
            raise Unusable(NOT_SUPPORTED, f"ignored: {count} slices, a volume has {LEAST_SLICES} or more")
        if found := _OTHER.search(one.label):
            raise Unusable(NOT_SUPPORTED, f"ignored: named {found.group()!r}, which is no plain T1")
        if not (_T1.search(one.label) or t1_by_times(one)):
            raise Unusable(
                NOT_SUPPORTED,
                f"ignored: neither its names nor TR {one.repetition_ms:g} ms, TE {one.echo_ms:g} ms say T1",
            )

    def zipped(self) -> IO[bytes]:
        """A stored zip, entries in the order of their UIDs, so that one series makes the same bytes."""
        out = _temporary()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for number, uid in enumerate(sorted(self._places), start=1):
                at, size = self._places[uid]
                self.spool.seek(at)
                archive.writestr(zipfile.ZipInfo(f"{number:05d}.dcm", _EPOCH), self.spool.read(size))
        return out


def _temporary() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=_SPOOL)


def t1_by_times(one: Instance) -> bool:
    """T1 weighting by physics: short echo with a spoiled or inverted gradient echo, or short TR spin echo."""
    if not (0 < one.echo_ms <= 30 and one.repetition_ms > 0):
        return False
    if "GR" in one.sequences:
        return one.echo_ms <= 12 and (one.repetition_ms <= 100 or one.inversion_ms >= 300)
    return "SE" in one.sequences and one.repetition_ms <= 900


@dataclass
class SeriesUpload:
    """One series as the submission takes it: a stream of bytes that needs no further look."""

    series: Series
    size_bytes: int = 0
    sniffed: Sniffed | None = field(default_factory=lambda: Sniffed(Media.ZIP))
    options: dict[str, str] = field(default_factory=dict)

    @property
    def announced_bytes(self) -> int | None:
        """They are here already."""
        return 0

    def whole(self) -> None:
        """Its zip is written while it is read."""
        return

    def chunks(self) -> Iterator[bytes]:
        """The zip's bytes."""
        with self.series.zipped() as archive:
            archive.seek(0)
            while piece := archive.read(_PIECE):
                self.size_bytes += len(piece)
                yield piece

    def clean(self, sent: Sent, out: IO[bytes]) -> Cleaned:
        """The same bytes: every instance was cleaned before; whom they are of, as the first one tells."""
        shutil.copyfileobj(sent.file, out, _PIECE)
        out.flush()
        return Cleaned(sent.size_bytes, sent.sha256, self.series.first.patient)
