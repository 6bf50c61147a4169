"""Disks that are full: file systems of an experiment's own, where this user may mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def may_mount() -> bool:
    """Whether this user may: root, unless a container forbids it."""
    return os.geteuid() == 0


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[bool]:
    """A tmpfs at the folder; False, and the folder as it is, where nobody may mount one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = may_mount() and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def without_a_byte(folder: Path) -> Iterator[None]:
    """The disk of the folder is full to the last byte, and stays so whoever deletes a little."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        _fill(file.fileno())
        try:
            yield
        finally:
            filler.unlink()


def _fill(handle: int) -> None:
    for size in (1 << 20, 1 << 12, 1):
        with suppress(OSError):
            while True:
                os.write(handle, bytes(size))
