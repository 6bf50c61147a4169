"""How much room the disks have that the service lives on, and when that is too little to take more work.

Redis ends itself on a full disk, for it must not acknowledge what it cannot keep. So nobody else may use the
last of it: new volumes are refused while less than the reserve is free, and workers store nothing while less
than half of it is; their jobs wait.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import DiskNearlyFull

RETRY_SECONDS = 30
"""A disk is not freed sooner than that, and a refused volume costs its sender little."""
_LARGEST_SHARE = 10
"""A small disk keeps a tenth of itself free, whatever the setting says."""
_LEAST_INODES = 1000


@dataclass(frozen=True)
class Disk:
    """The file system under a folder, in bytes. reserve: of `size`, so much stays free."""

    name: str
    size: int
    free: int
    reserve: int

    @property
    def is_low(self) -> bool:
        """Whether less than the reserve is free."""
        return self.free < self.reserve

    @property
    def is_nearly_full(self) -> bool:
        """Whether less than half of the reserve is free."""
        return self.free < self.reserve // 2

    def refusal(self) -> DiskNearlyFull:
        """What a caller is told who wants to store something."""
        shown = f"{self.free / 1e9:.1f} of {self.size / 1e9:.1f} GB are free"
        return DiskNearlyFull(
            f"The disk of the service is nearly full ({shown}), so nothing is stored; send it again later",
            retry_after_seconds=RETRY_SECONDS, disk=self.name,
        )  # fmt: skip

    def describe(self) -> str:
        """In one line, for people."""
        shown = (f"{part / 1e9:.1f} GB" for part in (self.free, self.size, self.reserve))
        return "{}: {} free of {}, {} are kept free".format(self.name, *shown)


def measure(name: str, folder: Path, reserve_bytes: int) -> Disk | None:
    """The disk on which the folder lies, or will lie once it is made; None when nobody can tell."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    if found.f_files and found.f_favail < min(_LEAST_INODES, found.f_files // _LARGEST_SHARE):
        free = 0  # no file can be made, however many bytes there are
    return Disk(name, size, free, min(reserve_bytes, size // _LARGEST_SHARE))


@dataclass(frozen=True)
class Disks:
    """Folders by name, those that lie on this machine; and how much of their disks is to stay free."""

    folders: Mapping[str, Path]
    reserve_bytes: int

    @classmethod
    def of(cls, blobs: Path | None, redis_folder: str, reserve_bytes: int) -> Disks:
        """blobs: None when they are in a bucket. redis_folder: "" when Redis is another machine's."""
        redis = Path(redis_folder) if redis_folder else None
        known = {"blobs": blobs, "redis": redis}
        return cls({name: folder for name, folder in known.items() if folder}, reserve_bytes)

    def __iter__(self) -> Iterator[Disk]:
        """Each as it is now."""
        found = (measure(name, folder, self.reserve_bytes) for name, folder in self.folders.items())
        return iter([disk for disk in found if disk])

    def check(self) -> None:
        """DiskNearlyFull when one of them has less room than is to stay free."""
        for disk in self:
            if disk.is_low:
                raise disk.refusal()
