"""Logs of the local system that do not fill the disk: at its limit a file is copied aside and emptied.

The services hold their files open for appending, so that a file cannot be renamed away from them: what they
write next goes to its new beginning. A line written between the copy and the emptying may be lost.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

KEPT = 4
"""Copies of each file: NAME.log.1 is the newest."""


def rotate(folder: Path, *, most_bytes: int) -> list[str]:
    """Put aside every log in the folder that has grown to the limit; their names."""
    full = [log for log in sorted(folder.glob("*.log")) if log.stat().st_size >= most_bytes]
    for log in full:
        _shift(log)
        _copy(log, _copy_of(log, 1))
        os.truncate(log, 0)
    return [log.name for log in full]


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
