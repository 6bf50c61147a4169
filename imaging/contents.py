"""What a zip archive holds: a DICOM study, a volume, or a pair of header and image; one level of zip in zip.

Names only tell which entry is which; nothing is written by them.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from isal import igzip

from contracts.errors import BadSeries, NotAVolume, TooLarge
from contracts.series_read import SeriesRead
from imaging.archive import MAX_ENTRIES, Archive
from imaging.limits import MAX_NESTED
from imaging.reading import reading
from imaging.volumes import choose, series_alone

VOLUMES = (".nii", ".mgh", ".mgz")
NESTED = ".zip"
MANIFEST = "series.json"
"""Entry of a stored archive that lists what the door passed over (manifest.py)."""

_GZIP = b"\x1f\x8b"
_igzip: Any = igzip


class Entries(Protocol):
    """A zip archive, or a single file that stands for one."""

    entries: list[zipfile.ZipInfo]

    def unpack(self, entry: zipfile.ZipInfo, /) -> bytes: ...

    def opened(self, entry: zipfile.ZipInfo, /) -> Any: ...


@dataclass(frozen=True)
class Member:
    """One file of an archive, gzip around it taken off. outer: the name of an archive inside the archive."""

    archive: Entries
    entry: zipfile.ZipInfo
    outer: str = ""

    @property
    def name(self) -> str:
        """Its path in lower case, without `.gz`; `sub-01.zip/t1w.nii` of one in an archive inside."""
        inside = self.entry.filename.lower().removesuffix(".gz")
        return f"{self.outer}/{inside}" if self.outer else inside

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

    series: of a volume among several, which one it is and what was passed over; of one taken with a contrast
    agent, that it was.
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
    halves = [one for one in members if one.suffix in (".hdr", ".img")]
    if volumes:
        if any(one.suffix in (".dcm", ".ima") for one in members):
            raise BadSeries("The archive holds both NIfTI or MGH volumes and DICOM files; send one of them")
        if halves:
            raise BadSeries(
                "The archive holds both whole volumes and pairs of .hdr and .img; send one of them"
            )
        place, series = choose([one.name for one in volumes])
        return Contents(volume=volumes[place], series=series)
    headers = [one for one in halves if one.suffix == ".hdr"]
    if not headers and not (halves and len(members) == 1):
        return Contents(instances=tuple(members))
    return _pair_of(headers, [one for one in halves if one.suffix == ".img"])


def _pair_of(headers: list[Member], images: list[Member]) -> Contents:
    """The only header and the only image, or the only two of one name; NotAVolume."""
    if len(headers) == len(images) == 1 and headers[0].outer == images[0].outer:
        return Contents(header=headers[0], image=images[0], series=series_alone(headers[0].name))
    pairs = [(one, other) for one in headers for other in images if _stem(one) == _stem(other)]
    if len(pairs) != 1:
        found = f"{len(headers)} headers (.hdr) and {len(images)} images (.img)"
        raise NotAVolume(f"The archive holds {found}; send one pair of the same name")
    (header, image), *_ = pairs
    return Contents(header=header, image=image, series=series_alone(header.name))


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
            inner = [Member(nested, one, member.name) for one in nested.entries]
            if any(one.suffix == NESTED for one in inner):
                raise NotAVolume("A zip archive inside a zip archive holds a third one; send the scan itself")
        for one in inner:
            count += 1
            if count > MAX_ENTRIES:
                raise TooLarge(f"The archives hold more than {MAX_ENTRIES} files")
            yield one
