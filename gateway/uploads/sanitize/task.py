"""What a child of the sandbox is asked and what it answers, as data that travels as JSON; and its work.

`perform` runs in the child, `result_of` reads its answer in the gateway.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import IO, Any

from contracts import errors
from contracts.errors import CorruptFile, HippocampError, StoreUnavailable, TooLarge
from gateway.uploads.sanitize import volumes
from imaging.patient import Patient
from imaging.sniff import Media

_MOST_DETAIL = 500


@dataclass(frozen=True)
class Limits:
    """memory_bytes: address space. cpu_seconds, wall_seconds: of one upload. at_once: uploads a process.

    wait_seconds: how long an upload waits for a slot.
    """

    memory_bytes: int = 1 << 30
    cpu_seconds: int = 30
    wall_seconds: float = 90
    at_once: int = 4
    wait_seconds: float = 5


class Kind(StrEnum):
    """How the bytes are to be read."""

    VOLUME = "volume"
    PACKED = "packed"
    ARCHIVE = "archive"
    INSTANCES = "instances"


KINDS = {
    Media.ZIP: Kind.ARCHIVE, Media.DICOM: Kind.ARCHIVE, Media.DICOM_GZ: Kind.ARCHIVE,
    Media.NIFTI_GZ: Kind.PACKED, Media.MGZ: Kind.PACKED, Media.NIFTI: Kind.VOLUME, Media.MGH: Kind.VOLUME,
}  # fmt: skip
"""How each container is read."""

SINGLE = frozenset({Kind.VOLUME, Kind.PACKED})
"""Single volumes. A server for them alone never loads pydicom, and a smaller process is cheaper to fork."""


@dataclass(frozen=True)
class Task:
    """most_bytes: of what is stored. secret: UIDs are mapped with it. sizes: of instances.

    hashed: whether the SHA-256 of what is stored is wanted. in_place: `source`, a VOLUME's own file on this
    machine, is what is to be stored, once it is sanitized.
    """

    kind: Kind
    most_bytes: int
    secret: str = ""
    sizes: tuple[int, ...] = ()
    hashed: bool = True
    in_place: bool = False


@dataclass(frozen=True)
class Sanitized:
    """What was written: size, SHA-256 in hex or "", whom it is of; instances: what each is, and where."""

    size_bytes: int
    sha256: str
    patient: Patient = field(default_factory=Patient)
    instances: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data; by hand, since `asdict` touches many pages of a process just forked."""
        return {**vars(self), "patient": vars(self.patient)}


def result_of(answer: dict[str, Any]) -> Sanitized:
    """What `perform` found; raises the error that it met."""
    if failure := answer.get("error"):
        kind = getattr(errors, str(failure["kind"]), errors.CorruptFile)
        raise kind(str(failure["detail"])[:_MOST_DETAIL], **failure["figures"])
    found = answer["sanitized"]
    return Sanitized(**{**found, "patient": Patient(**found["patient"])})


def perform(task: Task, source: IO[bytes], out: IO[bytes]) -> dict[str, Any]:
    """The whole answer: of `Sanitized`, or of the error that the bytes earn. Nothing is raised."""
    try:
        return {"sanitized": _sanitized(task, source, out).to_json()}
    except HippocampError as error:
        return _failure(error)
    except MemoryError:
        return _failure(TooLarge("Reading the upload takes more memory than one upload may have"))
    except OSError as error:
        return not_written(error)


def not_written(error: OSError) -> dict[str, Any]:
    """The answer when what was sanitized cannot be stored, or not whole."""
    if error.errno == errno.EFBIG:
        return _failure(TooLarge("The upload unpacks to more than is taken"))
    if error.errno is None:
        return _failure(CorruptFile("The upload cannot be read"))  # a library's own, which may quote the file
    return _failure(StoreUnavailable(f"The upload cannot be stored: {os.strerror(error.errno)}"))


def _failure(error: HippocampError) -> dict[str, Any]:
    return {"error": {"kind": type(error).__name__, "detail": error.detail, "figures": error.figures}}


def _sanitized(task: Task, source: IO[bytes], out: IO[bytes]) -> Sanitized:
    if task.in_place:
        return Sanitized(volumes.sanitize_in_place(source, most_bytes=task.most_bytes), "")
    if task.kind == Kind.INSTANCES:
        return Sanitized(0, "", instances=tuple(_instances(task, source, out)))
    if task.kind == Kind.ARCHIVE:
        return _archive(task, source, out)
    plain = volumes.unpacked(source) if task.kind == Kind.PACKED else source
    return _written(task, volumes.sanitized(plain, most_bytes=task.most_bytes), out)


def _archive(task: Task, source: IO[bytes], out: IO[bytes]) -> Sanitized:
    from gateway.uploads.sanitize.archives import ArchiveSanitizer

    archive = ArchiveSanitizer(task.most_bytes, task.secret)
    written = _written(task, archive.chunks(source), out)
    return replace(written, patient=archive.patient)


def _written(task: Task, pieces: Iterator[bytes], out: IO[bytes]) -> Sanitized:
    digest, size = hashlib.sha256() if task.hashed else None, 0
    for piece in pieces:
        if digest:
            digest.update(piece)
        size += len(piece)
        out.write(piece)
    out.flush()
    return Sanitized(size, digest.hexdigest() if digest else "")


def _instances(task: Task, source: IO[bytes], out: IO[bytes]) -> Iterator[dict[str, Any]]:
    """For each, what it is and `place`, its first byte in `out` and its size; or `reason` and `text`.

    The place is None for what is no MR image: it is described and not kept.
    """
    from gateway.dicomweb.instances import Unusable, open_instance
    from imaging.dicom_elements import ElementBudget

    at, budget = 0, ElementBudget()
    for size in task.sizes:
        data = source.read(size)
        try:
            about, kept = open_instance(data, task.secret, budget=budget)
        except Unusable as unusable:
            yield {"reason": unusable.reason, "text": unusable.text}
            continue
        out.write(kept)
        yield {"place": (at, len(kept)) if kept else None, "about": about.to_json()}
        at += len(kept)
    out.flush()
