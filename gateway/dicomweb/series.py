"""The series of one request: collected on disk, judged by their headers, handed on as one zip each."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import IO

from contracts.series_read import PassedOver
from gateway.dicomweb.instances import Instance
from gateway.uploads.sanitize.task import Cleaned
from gateway.uploads.spool import Sent
from imaging import manifest
from imaging.contents import MANIFEST
from imaging.described import Described
from imaging.sniff import Media, Sniffed

_PIECE = 1 << 18
_SPOOL = 8 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass
class Series:
    """Instances of one series, which lie cleaned in `spool`, a file that the request holds."""

    first: Instance
    spool: IO[bytes]
    instances: dict[str, Instance] = field(default_factory=dict)
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, instance: Instance, place: tuple[int, int] | None) -> None:
        """Keep it, by its first byte and its size, None when only its header was looked at; an instance that
        came before is kept once."""
        if instance.uid not in self.instances:
            self.instances[instance.uid] = instance
            if place:
                self._places[instance.uid] = place

    @property
    def described(self) -> Described:
        """The series as the rule sees it: the magnitude of one that holds phase images too."""
        each = [one.described for one in self.instances.values()]
        fit = [one for one in each if not one.unfit and not one.part] or each
        return replace(fit[0], images=sum(one.images for one in fit))

    def zipped(self, passed: Sequence[PassedOver] = ()) -> IO[bytes]:
        """A stored zip, entries in the order of their UIDs, so that one series makes the same bytes."""
        out = _temporary()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for number, uid in enumerate(sorted(self._places), start=1):
                at, size = self._places[uid]
                self.spool.seek(at)
                archive.writestr(zipfile.ZipInfo(f"{number:05d}.dcm", _EPOCH), self.spool.read(size))
            if passed:
                archive.writestr(zipfile.ZipInfo(MANIFEST, _EPOCH), manifest.written(passed))
        return out


def _temporary() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=_SPOOL)


@dataclass
class SeriesUpload:
    """One series as the submission takes it: a stream of bytes that needs no further look.

    passed: the other series of its study that came with it.
    """

    series: Series
    passed: Sequence[PassedOver] = ()
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
        with self.series.zipped(self.passed) as archive:
            archive.seek(0)
            while piece := archive.read(_PIECE):
                self.size_bytes += len(piece)
                yield piece

    def clean(self, sent: Sent, out: IO[bytes]) -> Cleaned:
        """The same bytes: every instance was cleaned before; whom they are of, as the first one tells."""
        shutil.copyfileobj(sent.file, out, _PIECE)
        out.flush()
        return Cleaned(sent.size_bytes, sent.sha256, self.series.first.patient)
