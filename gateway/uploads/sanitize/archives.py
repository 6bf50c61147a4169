"""An archive or DICOM file as it is stored: a zip of sanitized volumes or instances, and nothing else."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO, BinaryIO, cast

from contracts.errors import BadSeries, NotAVolume, TooLarge
from contracts.series_read import PassedOver
from gateway.uploads.sanitize import volumes
from imaging import manifest
from imaging.contents import MANIFEST, Contents, Member, contents_of
from imaging.deidentify import Rules, patient_of
from imaging.described import Described, describe
from imaging.dicom_elements import ElementBudget
from imaging.dicom_file import OverlongHeader, UnreadableInstance, open_instance
from imaging.dicom_magic import looks_like_dicom
from imaging.headers import blank_pair, is_analyze, is_mgh, is_nifti, is_pair, voxels_of_pair
from imaging.instances import Pixels, deidentified
from imaging.limits import MAX_DICOM_FILE, MAX_HEADER
from imaging.owners import Owners
from imaging.patient import Patient
from imaging.series import Why, passed_over, refusal
from imaging.single_file import entries_of, refuse_slice

EPOCH = (1980, 1, 1, 0, 0, 0)

Entry = tuple[str, Iterable[bytes | bytearray | memoryview]]


@dataclass
class ArchiveSanitizer:
    """secret: UIDs are mapped with it. patient: known once `chunks` is exhausted."""

    most_bytes: int
    secret: str = ""
    patient: Patient = field(default_factory=Patient)
    _owners: Owners = field(default_factory=Owners)
    _others: dict[str, Described] = field(default_factory=dict)
    _budget: ElementBudget = field(default_factory=ElementBudget)

    def chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        """A stored zip, entries in the order of the archive; any InputError."""
        sink = _Sink()
        with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_STORED) as out:
            for name, pieces in self._entries(contents_of(entries_of(cast("BinaryIO", file)))):
                with out.open(zipfile.ZipInfo(name, EPOCH), "w", force_zip64=False) as entry:
                    for piece in pieces:
                        entry.write(piece)
                        yield from sink.taken()
        yield from sink.taken()

    def _entries(self, contents: Contents) -> Iterator[Entry]:
        if contents.header and contents.image:
            yield from self._pair(contents.header, contents.image)
        elif contents.volume:
            yield from self._volume(contents.volume)
        else:
            yield from self._instances(contents.instances)
        listed = [passed_over(one, Why(one.unfit)) for one in self._others.values()]
        if contents.series:
            yield MANIFEST, [manifest.written(contents.series.passed_over, contents.series)]
        elif listed:
            yield MANIFEST, [manifest.written(listed)]

    def _volume(self, member: Member) -> Iterator[Entry]:
        with member.opened() as stream:
            start = stream.read(352)
        if not (is_nifti(start) or is_mgh(start)):
            raise NotAVolume("The volume in the zip archive is neither NIfTI nor MGH")
        with member.opened() as stream:
            name = "volume.nii" if is_nifti(start) else "volume.mgh"
            yield name, volumes.sanitized(stream, most_bytes=self.most_bytes)

    def _pair(self, header: Member, image: Member) -> Iterator[Entry]:
        head = header.data(MAX_HEADER)
        if not (is_pair(head) or is_analyze(head)):
            raise NotAVolume("The .hdr in the zip archive is neither Analyze nor NIfTI")
        voxels = volumes.voxels_of(image.data(self.most_bytes), *voxels_of_pair(head))
        yield "volume.hdr", [blank_pair(head)]
        yield "volume.img", [voxels]

    def _instances(self, members: Iterable[Member]) -> Iterator[Entry]:
        count = 0
        for member in members:
            data = member.data(MAX_DICOM_FILE)
            if looks_like_dicom(data[:132]) and (pieces := self._instance(data, member)):
                count += 1
                yield f"{count:05d}.dcm", pieces
        if not count:
            raise self._nothing()
        self._owners.check()

    def _instance(self, data: bytes, member: Member) -> tuple[Pixels, ...]:
        """The instance without what names a person; () when it is none for us, which is noted."""
        try:
            instance = open_instance(data, most_bytes=MAX_DICOM_FILE, budget=self._budget)
            described = describe(instance.header)
            unfit = described.unfit or ("" if len(instance.pixels) else str(Why.NO_PIXELS))
            if unfit:
                self._pass_over(str(instance.header.get("SeriesInstanceUID") or ""), described, unfit)
                return ()
            refuse_slice(member, described)
            self._owners.add(instance.header, described)
            if self.patient == Patient():
                self.patient = patient_of(instance.header)
            return deidentified(instance, Rules(self.secret))
        except OverlongHeader as error:
            raise TooLarge(f"The DICOM headers are too long: {error}; send one plain series") from error
        except UnreadableInstance as error:
            raise BadSeries(f"A DICOM file in the archive cannot be taken: {error}") from error

    def _pass_over(self, series: str, described: Described, unfit: str) -> None:
        before = self._others.get(series)
        images = described.images + (before.images if before else 0)
        self._others[series] = replace(before or described, images=images, unfit=unfit)

    def _nothing(self) -> BadSeries:
        listed: list[PassedOver] = [passed_over(one, Why(one.unfit)) for one in self._others.values()]
        if not listed:
            return BadSeries("The archive holds no DICOM image")
        return cast("BadSeries", refusal(listed))


class _Sink:
    """Somewhere zipfile can write to and not seek in; what it wrote is taken piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Keep a piece."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> Iterator[bytes]:
        """What was written since the last call."""
        while self._pieces:
            yield self._pieces.pop(0)
