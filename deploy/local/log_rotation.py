"""Logs of the local system that do not fill the disk: at its limit a file is copied aside and emptied.

The services hold their files open for appending, so that a file cannot be renamed away from them: what they
write next goes to its new beginning. A line written between the copy and the emptying may be lost.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

_log = logging.getLogger("hippocamp.reconciler")

KEPT = 4
"""Copies of each file: NAME.log.1 is the newest."""


def rotate(folder: Path, *, most_bytes: int) -> list[str]:
    """Put aside every log in the folder that has grown to the limit; their names.

    A log that cannot be copied, because the disk is full, is emptied all the same, and costs no older copy.
    """
    return [log.name for log in sorted(folder.glob("*.log")) if _is_full(log, most_bytes) and _rotate(log)]


def _is_full(log: Path, most_bytes: int) -> bool:
    with suppress(OSError):  # it has gone meanwhile
        return log.stat().st_size >= most_bytes
    return False


def _rotate(log: Path) -> bool:
    """Whether a copy was kept."""
    kept = _done("log.not_kept", log, _keep)
    _done("log.not_emptied", log, partial(os.truncate, length=0))
    return kept


def _done(event: str, log: Path, step: Callable[[Path], None]) -> bool:
    """Whether it succeeded: what one log fails with does not end the care for the others."""
    try:
        step(log)
    except OSError as failure:
        _log.warning(event, extra={"file": log.name, "detail": failure.strerror})
        return False
    return True


def _keep(log: Path) -> None:
    part = log.with_name(f"{log.name}.part")
    try:
        _copy(log, part)
        _shift(log)
        part.replace(_copy_of(log, 1))
    finally:
        part.unlink(missing_ok=True)


def _shift(log: Path) -> None:
    for number in range(KEPT, 1, -1):
        younger = _copy_of(log, number - 1)
        if younger.exists():
            younger.replace(_copy_of(log, number))


def _copy(log: Path, to: Path) -> None:
    with log.open("rb") as source, to.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _copy_of(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
