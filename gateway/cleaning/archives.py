"""A zip archive as it is stored: cleaned volumes or DICOM instances under numbers, and nothing else."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, BinaryIO, cast

from contracts.archive import Archive, suffix_of
from contracts.deidentify import Rules, deidentified, patient_of
from contracts.dicom_elements import ElementBudget
from contracts.dicom_file import (
    Instance,
    OverlongHeader,
    UnreadableInstance,
    looks_like_dicom,
    open_instance,
)
from contracts.errors import BadSeries, NotAVolume, TooLarge
from contracts.patient import Patient
from gateway.cleaning import volumes
from gateway.cleaning.headers import blank_pair
from gateway.headers import is_analyze, is_mgh, is_nifti, is_pair

SINGLE = (".nii", ".mgh", ".mgz", ".gz")
EPOCH = (1980, 1, 1, 0, 0, 0)
MOST_INSTANCE = 208 << 20
"""Bytes of one DICOM file: a multi-frame volume (preprocessing_service/limits.py)."""

Entry = tuple[str, Iterable[bytes | memoryview]]


@dataclass
class ArchiveCleaning:
    """secret: UIDs are mapped with it. patient: known once `chunks` is exhausted."""

    most_bytes: int
    secret: str = ""
    patient: Patient = field(default_factory=Patient)
    _budget: ElementBudget = field(default_factory=ElementBudget)

    def chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        """A stored zip, entries in the order of the archive; any InputError."""
        sink = _Sink()
        with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_STORED) as out:
            for name, pieces in self._entries(Archive(cast("BinaryIO", file))):
                with out.open(zipfile.ZipInfo(name, EPOCH), "w", force_zip64=False) as entry:
                    for piece in pieces:
                        entry.write(piece)
                        yield from sink.taken()
        yield from sink.taken()

    def _entries(self, archive: Archive) -> Iterator[Entry]:
        entries = {suffix_of(entry): entry for entry in archive.entries}
        if len(archive.entries) == 2 and set(entries) == {".hdr", ".img"}:
            yield from _pair(archive.unpack(entries[".hdr"]), archive.unpack(entries[".img"]))
        elif len(archive.entries) == 1 and suffix_of(archive.entries[0]) in SINGLE:
            yield self._single(archive.unpack(archive.entries[0]))
        else:
            yield from self._instances(archive)

    def _single(self, data: bytes) -> Entry:
        if not (is_nifti(data) or is_mgh(data)):
            raise NotAVolume("The file in the zip archive is no plain NIfTI or MGH; send it without the zip")
        name = "volume.nii" if is_nifti(data) else "volume.mgh"
        return name, volumes.cleaned(io.BytesIO(data), most_bytes=self.most_bytes)

    def _instances(self, archive: Archive) -> Iterator[Entry]:
        count = 0
        for entry in archive.entries:
            if entry.file_size > MOST_INSTANCE:
                raise TooLarge(f"A DICOM file of {entry.file_size} bytes; {MOST_INSTANCE} are taken")
            data = archive.unpack(entry)
            if looks_like_dicom(data[:132]):
                count += 1
                yield f"{count:05d}.dcm", self._instance(data)
        if not count:
            raise BadSeries("The archive holds no DICOM image")

    def _instance(self, data: bytes) -> tuple[bytes | memoryview, ...]:
        try:
            instance: Instance = open_instance(data, most_bytes=MOST_INSTANCE, budget=self._budget)
            if self.patient == Patient():
                self.patient = patient_of(instance.header)
            return deidentified(instance, Rules(self.secret))
        except OverlongHeader as error:
            raise TooLarge(f"The DICOM headers are too long: {error}; send one plain series") from error
        except UnreadableInstance as error:
            raise BadSeries(f"A DICOM file in the archive cannot be taken: {error}") from error


def _pair(header: bytes, image: bytes) -> Iterator[Entry]:
    if not (is_pair(header) or is_analyze(header)):
        raise NotAVolume("The .hdr in the zip archive is neither Analyze nor NIfTI")
    yield "volume.hdr", [blank_pair(header)]
    yield "volume.img", [image]


class _Sink:
    """Somewhere zipfile can write to and not seek in; what it wrote is taken piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes | memoryview) -> int:
        """Keep a piece."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> Iterator[bytes]:
        """What was written since the last call."""
        while self._pieces:
            yield self._pieces.pop(0)
