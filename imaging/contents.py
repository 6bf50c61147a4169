"""What a zip archive holds: a DICOM study, a volume, or a pair of header and image; one level of zip in zip.

Names only tell which entry is which; nothing is written by them.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from isal import igzip

from contracts.archive import MAX_ENTRIES, Archive
from contracts.errors import BadSeries, NotAVolume, SeveralStudies, TooLarge
from contracts.reading import reading
from contracts.series_read import SeriesRead
from contracts.series_words import descriptor
from imaging.described import Described
from imaging.limits import LEAST_SLICES, MAX_NESTED
from imaging.series import passed_over, refusal, select

VOLUMES = (".nii", ".mgh", ".mgz")
NESTED = ".zip"
MANIFEST = "series.json"
"""Entry of a stored archive that lists what the door passed over (manifest.py)."""

_GZIP = b"\x1f\x8b"
_ENTITY = re.compile(r"(?:^|[/_])((?:sub|ses)-[a-zA-Z0-9]+)")
_igzip: Any = igzip


class Entries(Protocol):
    """A zip archive, or a single file that stands for one."""

    entries: list[zipfile.ZipInfo]

    def unpack(self, entry: zipfile.ZipInfo, /) -> bytes: ...

    def opened(self, entry: zipfile.ZipInfo, /) -> Any: ...


@dataclass(frozen=True)
class Member:
    """One file of an archive, gzip around it taken off."""

    archive: Entries
    entry: zipfile.ZipInfo

    @property
    def name(self) -> str:
        """Its path in lower case, without `.gz`."""
        return self.entry.filename.lower().removesuffix(".gz")

    @property
    def suffix(self) -> str:
        """`.hdr` of `Folder/Scan.HDR.gz`; MGZ is a gzipped MGH."""
        return PurePosixPath(self.name).suffix

    def data(self, most_bytes: int) -> bytes:
        """All of it; TooLarge when that is more than `most_bytes`."""
        if self.entry.file_size > most_bytes:
            raise TooLarge(f"A file of {self.entry.file_size} bytes in the archive; {most_bytes} are taken")
        data = self.archive.unpack(self.entry)
        return gunzipped(data, most_bytes) if data.startswith(_GZIP) else data

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """As a stream, for one too large to be whole in memory."""
        with self.archive.opened(self.entry) as file, reading():
            packed = file.read(2) == _GZIP
        with self.archive.opened(self.entry) as file:
            if not packed:
                yield file
                return
            with cast("BinaryIO", _igzip.IGzipFile(fileobj=file, mode="rb")) as stream:
                yield stream


def gunzipped(data: bytes, most_bytes: int) -> bytes:
    """What a gzip file holds; TooLarge, TruncatedFile, CorruptFile."""
    with reading():
        inflater = zlib.decompressobj(wbits=31)
        out = inflater.decompress(data, most_bytes + 1)
        if len(out) > most_bytes:
            raise TooLarge(f"A file unpacks to more than the {most_bytes} bytes that are taken")
        if not inflater.eof:
            raise EOFError
    return out


@dataclass(frozen=True)
class Contents:
    """One of: `volume`; `header` with `image`; else `instances`, the files that may be DICOM.

    series: of a volume among several, which one it is and what was passed over.
    """

    volume: Member | None = None
    header: Member | None = None
    image: Member | None = None
    instances: tuple[Member, ...] = ()
    series: SeriesRead | None = None


def contents_of(archive: Entries) -> Contents:
    """What to read of an archive; BadSeries, NotAVolume, SeveralStudies say why nothing is."""
    members = [one for one in _flat(archive) if PurePosixPath(one.name).name != MANIFEST]
    volumes = [one for one in members if one.suffix in VOLUMES or _is_volume(one, alone=len(members) == 1)]
    headers = {_stem(one): one for one in members if one.suffix == ".hdr"}
    images = {_stem(one): one for one in members if one.suffix == ".img"}
    if volumes:
        if any(one.suffix in (".dcm", ".ima") for one in members):
            raise BadSeries("The archive holds both NIfTI or MGH volumes and DICOM files; send one of them")
        return _volume_of(volumes)
    if not headers and not (images and len(members) == 1):
        return Contents(instances=tuple(members))
    if len(headers) == len(images) == 1:
        return Contents(header=next(iter(headers.values())), image=next(iter(images.values())))
    pairs = headers.keys() & images.keys()
    if len(pairs) != 1:
        found = f"{len(headers)} headers (.hdr) and {len(images)} images (.img)"
        raise NotAVolume(f"The archive holds {found}; send one pair of the same name")
    (pair,) = pairs
    return Contents(header=headers[pair], image=images[pair])


def _is_volume(one: Member, *, alone: bool) -> bool:
    """By its first bytes, for the only file of an archive, or one gzipped under a name that says no more."""
    if one.suffix in (".hdr", ".img") or (
        not alone and (one.suffix or not one.entry.filename.lower().endswith(".gz"))
    ):
        return False
    with one.opened() as stream, reading():
        start = stream.read(352)
    return start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0" or start[:6] == b"\0\0\0\1\0\0"


def _stem(one: Member) -> str:
    return one.name.rpartition(".")[0]


def _flat(archive: Entries) -> Iterator[Member]:
    """Every file, those of archives inside the archive too; those inside them are not looked into."""
    count = 0
    for entry in archive.entries:
        member = Member(archive, entry)
        inner: Iterator[Member] | list[Member] = [member]
        if member.suffix == NESTED:
            nested = Archive(io.BytesIO(member.data(MAX_NESTED)))
            inner = [Member(nested, one) for one in nested.entries]
            if any(one.suffix == NESTED for one in inner):
                raise NotAVolume("A zip archive inside a zip archive holds a third one; send the scan itself")
        for one in inner:
            count += 1
            if count > MAX_ENTRIES:
                raise TooLarge(f"The archives hold more than {MAX_ENTRIES} files")
            yield one


def _volume_of(volumes: list[Member]) -> Contents:
    """The only volume, or the only T1 by its name: BIDS calls it `sub-01_ses-02_T1w.nii.gz`."""
    if len(volumes) == 1:
        return Contents(volume=volumes[0])
    described = {n: _described(one) for n, one in enumerate(volumes)}
    selection = select(described, strict=True)
    listed = [passed_over(described[n], why) for n, why in selection.passed.items()]
    if selection.chosen is None:
        raise refusal(listed)
    _check_owner([volumes[n] for n in described if described[n].words == "" or n not in selection.passed
                  or selection.passed[n] == "another_t1"])  # fmt: skip
    words = described[selection.chosen].words
    series = SeriesRead(description=words, candidates=selection.candidates, passed_over=tuple(listed))
    return Contents(volume=volumes[selection.chosen], series=series)


def _described(one: Member) -> Described:
    name = re.sub(r"(?:sub|ses|run|acq|task)-[a-z0-9]+", "", PurePosixPath(one.name).name)
    return Described(words=descriptor(name), images=LEAST_SLICES)


def _check_owner(candidates: list[Member]) -> None:
    entities: dict[str, set[str]] = defaultdict(set)
    for one in candidates:
        for entity in set(_ENTITY.findall(one.name)):
            entities[entity[:3]].add(entity)
    patients, visits = len(entities["sub"]) or 1, len(entities["ses"]) or 1
    if patients > 1 or visits > 1:
        raise SeveralStudies(
            f"The archive holds T1 volumes of {patients} patients and {visits} visits, by their names. "
            "Send each scan as an upload of its own",
            patients=patients,
            studies=max(patients, visits),
        )
