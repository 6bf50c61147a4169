"""Series on their way in: instances on disk by sender and series, until a series has been quiet."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from client.sources import PIECE

_UID = re.compile(r"[0-9.]{1,64}")
BOUNDARY = "hippocamp-series"


@dataclass(frozen=True)
class Waiting:
    """One series: who sent it, and its folder of instances."""

    sender: str
    folder: Path

    def body(self) -> Iterator[bytes]:
        """multipart/related, one part an instance (PS3.18, 8.6.1.2), read from disk in pieces."""
        for file in sorted(self.folder.glob("*.dcm")):
            yield f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            with file.open("rb") as instance:
                while piece := instance.read(PIECE):
                    yield piece
            yield b"\r\n"
        yield f"--{BOUNDARY}--\r\n".encode()

    def forget(self) -> None:
        """Remove it from disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Inbox:
    """A folder that survives a restart: `<folder>/<sender>/<series>/<instance>.dcm`."""

    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sender: str, series: str, *, instance: str, data: bytes) -> None:
        """Keep an instance; it is on disk when this returns. ValueError for names that are no UIDs."""
        if not (_UID.fullmatch(series) and _UID.fullmatch(instance)):
            raise ValueError("the instance's identifiers are no DICOM UIDs")
        with self._lock:
            folder = self.folder / sender / series
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{instance}.part"
            with part.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            part.replace(folder / f"{instance}.dcm")

    def take_quiet(self, seconds: float) -> list[Waiting]:
        """Series to which nothing came for so long; moved aside, so that a late instance begins a new one."""
        found = []
        with self._lock:
            for folder in self.folder.glob("*/*"):
                if folder.suffix == ".sending":
                    found.append(Waiting(folder.parent.name, folder))  # a restart, or the last try failed
                elif time.time() - folder.stat().st_mtime >= seconds:
                    aside = folder.with_name(f"{folder.name}.{time.time_ns()}.sending")
                    folder.rename(aside)
                    found.append(Waiting(aside.parent.name, aside))
        return found

    def unsent(self) -> bool:
        """Whether a series is left that was tried and could not be sent."""
        return any(self.folder.glob("*/*.sending"))
