"""What a batch has done so far, in a file beside its table: a second run goes on where one stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from filelock import FileLock, Timeout

from client.errors import ClientError


class BatchRuns(ClientError):  # noqa: N818  errors are named for what happened
    """Another process works on the same table."""


class Journal:
    """JSON lines, synced one by one: `{"digest", "job_id"}` when sent, `{"digest", "answer"}` when ended.

    A line that a crash cut short is ignored: its volume is sent again under the same idempotency key.
    """

    def __init__(self, path: Path) -> None:
        self.jobs: dict[str, str] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.digests: dict[str, str] = {}
        self._file: TextIO = path.open("a+", encoding="utf-8")
        self._lock = FileLock(f"{path}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._file.close()
            raise BatchRuns(f"another `hippocamp batch` holds {path}") from None
        self._read()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.release()

    def _read(self) -> None:
        self._file.seek(0)
        text = self._file.read()
        for line in text.splitlines():
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def _apply(self, entry: dict[str, Any]) -> None:
        if "stamp" in entry:
            self.digests[entry["stamp"]] = entry["digest"]
        elif "job_id" in entry:
            self.jobs[entry["digest"]] = entry["job_id"]
        else:
            self.answers[entry["digest"]] = entry["answer"]

    def hashed(self, stamp: str, digest: str) -> None:
        """The file of this path, size and time has this digest."""
        self._write({"stamp": stamp, "digest": digest}, sync=False)

    def sent(self, digest: str, job_id: str) -> None:
        """The volume became this job."""
        self._write({"digest": digest, "job_id": job_id}, sync=True)

    def ended(self, digest: str, answer: dict[str, Any]) -> None:
        """The volume has its answer."""
        self._write({"digest": digest, "answer": answer}, sync=True)

    def _write(self, entry: dict[str, Any], *, sync: bool) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())
        self._apply(entry)
