"""The audit log: one JSON line an event, each holding the hash of the one before, synced before it counts.

A log that has grown to its limit becomes a part, `audit.jsonl.000001` and so on, and a new file goes on with
the chain: its first line holds the hash of the part's last. Parts are read together, and never deleted.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.errors import StoreUnavailable
from runtime.system_errors import of_disk

GENESIS = "0" * 64
"""What the first line holds instead of a hash."""

_NEAR, _TAIL = 1 << 11, 1 << 16
"""Bytes at the log's end in which its last line is looked for, first and at most."""
MOST_BYTES = 64 << 20
"""Of one file of the log."""
_ROOM = 1 << 20
"""Bytes that must be free on the log's disk before anything is changed that it has to tell of."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Who did what to which job, from where, and how it ended; no field may hold health data.

    who: prefix of an API key, `oidc:<subject>`, "open" or `operator:<account>`. what: the route's name, or an
    operator's command. about: what else it named. where: network address, or an operator's machine.
    outcome: HTTP status. Times are UTC.
    """

    who: str
    what: str
    site: str
    job: str
    where: str
    outcome: int
    trace: str = ""
    about: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


class AuditLog:
    """An append-only file that several processes of one machine may share."""

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most_bytes = path, most_bytes

    def probe(self) -> None:
        """StoreUnavailable when a line could plainly not be written now: no file, no right, no room."""
        try:
            os.close(self._opened())
            disk = os.statvfs(self._path.parent)
        except OSError as error:
            raise of_disk(error, f"The audit log cannot be written ({error.strerror})") from error
        if disk.f_bavail * disk.f_frsize < _ROOM:
            raise StoreUnavailable("The audit log cannot be written (no space left)")

    def append(self, event: Event) -> None:
        """Write the event and sync it; StoreUnavailable when it could not be kept.

        The lock is held from reading the last hash until the new line is on disk, so the chain never forks.
        A line that a crash left unfinished is cut off first: nobody was answered before it was whole.
        """
        try:
            while not self._appended(event):
                pass  # the file became a part, by our hand or another's
        except OSError as error:
            raise of_disk(error, f"The audit log cannot be written ({error.strerror})") from error

    def _appended(self, event: Event) -> bool:
        handle = self._opened()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            about = os.fstat(handle)
            if not self._is_current(about):
                return False
            if about.st_size >= self._most_bytes:
                self._put_aside()
                return False
            last = _last_hash(handle) or _head_of_parts(self._path)
            os.write(handle, line(vars(event), last))
            os.fsync(handle)
            return True
        finally:
            os.close(handle)

    def _is_current(self, about: os.stat_result) -> bool:
        try:
            return os.path.samestat(about, self._path.stat())
        except FileNotFoundError:
            return False

    def _put_aside(self) -> None:
        """Under the lock; a crash after it leaves no file, and the next line begins one."""
        parts = parts_of(self._path)
        number = 1 + (int(parts[-1].suffix[1:]) if parts else 0)
        self._path.rename(self._path.with_name(f"{self._path.name}.{number:06d}"))
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _opened(self) -> int:
        how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, how, 0o600)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, how, 0o600)


def line(event: Mapping[str, Any], before: str) -> bytes:
    """The event chained to the hash before it: `hash` is the SHA-256 of the line without `hash`."""
    body = {**event, "before": before}
    return (json.dumps({**body, "hash": _hash(body)}, sort_keys=True) + "\n").encode()


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def parts_of(path: Path) -> list[Path]:
    """The parts of a log that were put aside, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.{'[0-9]' * 6}"))


def _head_of_parts(path: Path) -> str:
    parts = parts_of(path)
    if not parts:
        return GENESIS
    handle = os.open(parts[-1], os.O_RDWR)
    try:
        return _last_hash(handle) or GENESIS
    finally:
        os.close(handle)


def _last_hash(handle: int) -> str:
    """Hash of the last whole line, "" when there is none; leaves the file position behind it."""
    size = os.lseek(handle, 0, os.SEEK_END)
    for most in (_NEAR, _TAIL):
        start = max(0, size - most)
        tail = os.pread(handle, size - start, start)
        end = tail.rfind(b"\n") + 1
        begins = tail.rfind(b"\n", 0, max(0, end - 1)) + 1
        if begins or not start:
            break
    if start + end != size:
        os.ftruncate(handle, start + end)
        os.lseek(handle, start + end, os.SEEK_SET)
    return str(json.loads(tail[begins:end])["hash"]) if end else ""


@dataclass(frozen=True)
class Verified:
    """How a log stands: whole lines, the last hash, and the first line that breaks the chain (0: none)."""

    lines: int
    head: str
    broken: int = 0
    why: str = ""


def verify(path: Path, *, after: str = GENESIS) -> Verified:
    """Walk the chain, oldest part first. Cut off at its end it still verifies: compare `head` with one noted.

    after: the last hash of what lies elsewhere by now, when the oldest parts were moved away.
    """
    before, number = after, 0
    for number, text in enumerate(_lines(path), start=1):
        if why := _fault(text, before):
            return Verified(number - 1, before, number, why)
        before = str(json.loads(text)["hash"])
    return Verified(number, before)


def _lines(path: Path) -> Iterator[bytes]:
    for part in (*parts_of(path), path):
        with suppress(FileNotFoundError), part.open("rb") as file:
            yield from file


def _fault(text: bytes, before: str) -> str:
    try:
        body = dict(json.loads(text))
        claimed = body.pop("hash")
    except (ValueError, TypeError, KeyError):
        return "it is no line of an audit log"
    if body.get("before") != before:
        return "it does not follow the line before it"
    return "" if _hash(body) == claimed else "it was changed"


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every event of the log and its parts, oldest first."""
    for text in _lines(path):
        yield json.loads(text)


def main(arguments: list[str] | None = None) -> int:
    """`python -m runtime.audit verify FILE [--head HASH] [--after HASH]`: 0 when the chain holds."""
    parser = argparse.ArgumentParser(prog="runtime.audit", description=__doc__)
    parser.add_argument("command", choices=["verify"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--head", default="", help="a hash noted earlier, which must still be in the log")
    parser.add_argument("--after", default=GENESIS, help="the last hash of parts that were moved away")
    given = parser.parse_args(arguments)
    found = verify(given.file, after=given.after)
    if found.broken:
        sys.stdout.write(f"line {found.broken} breaks the chain: {found.why}\n")
        return 1
    if given.head and given.head not in {found.head, *(event["hash"] for event in read(given.file))}:
        sys.stdout.write(f"lines are missing at the end: none of {found.lines} has the hash {given.head}\n")
        return 1
    sys.stdout.write(f"lines={found.lines} head={found.head} verified=yes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
