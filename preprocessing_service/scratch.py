"""Folders for one job's unpacked files: each goes with its process, however that ends.

A folder is locked while its process lives. The kernel gives the lock back at any death, so whoever can take
it may delete the folder: no clock, no pid and no name has to be believed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_log = logging.getLogger("hippocamp.preprocess")
_PREFIX = "hippocamp-scratch-"


@contextmanager
def folder(within: Path) -> Iterator[Path]:
    """An empty folder beneath `within`, which is gone afterwards."""
    path, lock = _locked(within)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sweep(within: Path) -> int:
    """Delete what processes left that were killed; how many folders."""
    found = sum(_delete_if_free(path) for path in list(within.glob(f"{_PREFIX}*")))
    if found:
        _log.warning("scratch.swept", extra={"count": found})
    return found


def _locked(within: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=within))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)  # swept between the two steps


def _delete_if_free(path: Path) -> bool:
    with suppress(OSError):  # locked, of another user, gone meanwhile, or no folder
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
        finally:
            os.close(lock)
        return True
    return False
