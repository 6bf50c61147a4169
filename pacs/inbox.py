"""Instances on their way in: a folder that keeps each until the gateway has taken it, also over a restart."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from client.sources import PIECE
from runtime.whole_file import write_whole

_UID = re.compile(r"[0-9.]{1,64}")
BOUNDARY = "hippocamp-instances"
MOST_FILES, MOST_BYTES = 50, 32 << 20
"""Of one request; a larger instance travels alone."""


@dataclass(frozen=True)
class Group:
    """Instances of one sender that travel together. files: by the UID of each instance."""

    sender: str
    files: dict[str, Path]

    def body(self) -> Iterator[bytes]:
        """multipart/related, one part an instance (PS3.18, 8.6.1.2), read from disk in pieces."""
        for file in self.files.values():
            yield f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            with file.open("rb") as instance:
                while piece := instance.read(PIECE):
                    yield piece
            yield b"\r\n"
        yield f"--{BOUNDARY}--\r\n".encode()

    def forget(self, uids: Sequence[str]) -> None:
        """Remove these from disk: the gateway has them, or does not want them."""
        for uid in uids:
            if uid in self.files:
                self.files[uid].unlink(missing_ok=True)


@dataclass
class Spool:
    """A folder that survives a restart: `<folder>/<sender>/<number>-<instance>.dcm`, in the order of arrival.

    arrived: set by every instance that came.
    """

    folder: Path
    arrived: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: int = 0

    def add(self, sender: str, *, instance: str, data: bytes) -> None:
        """Keep an instance; it is on disk when this returns. ValueError for a name that is no UID."""
        if not _UID.fullmatch(instance):
            raise ValueError("the instance's identifier is no DICOM UID")
        place = self.folder / sender / f"{self._number():020d}-{instance}.dcm"
        write_whole(place, data)
        self.arrived.set()

    def _number(self) -> int:
        """Larger than any before, also of an earlier process."""
        with self._lock:
            now = max(self._last + 1, _next_number(self.folder) if not self._last else 0)
            self._last = now
            return now

    def groups(self, *, most_files: int = MOST_FILES) -> Iterator[Group]:
        """What waits, by sender, the oldest first."""
        for folder in sorted(self.folder.glob("*")):
            files = _by_uid(folder)
            while files:
                yield Group(folder.name, _taken(files, most_files))

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not any(self.folder.glob("*/*.dcm"))


def _by_uid(folder: Path) -> list[tuple[str, Path]]:
    return [(file.stem.partition("-")[2], file) for file in sorted(folder.glob("*.dcm"))]


def _taken(files: list[tuple[str, Path]], most: int) -> dict[str, Path]:
    """The first of them that fit one request, no UID twice."""
    found: dict[str, Path] = {}
    held = 0
    while files and len(found) < most and files[0][0] not in found:
        size = files[0][1].stat().st_size
        if found and held + size > MOST_BYTES:
            break
        uid, file = files.pop(0)
        found[uid] = file
        held += size
    return found


def _next_number(folder: Path) -> int:
    numbers = [int(file.name.partition("-")[0]) for file in folder.glob("*/*.dcm")]
    return max(numbers, default=0) + 1
