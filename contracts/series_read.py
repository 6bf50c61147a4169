"""Which series of an upload was read and which were passed over; it names no person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MOST_LISTED = 40
"""Series that are listed; a study has fewer."""


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """A series that was not read. number: the scanner's, 0 when not known. description: known words."""

    number: int = 0
    description: str = ""
    images: int = 0
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SeriesRead:
    """The series that was read. voxel_mm: edges along its stored axes. candidates: T1 series there were."""

    number: int = 0
    description: str = ""
    images: int = 0
    voxel_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    candidates: int = 1
    agent: bool = False
    passed_over: tuple[PassedOver, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> SeriesRead | None:
        """Read what `to_json` wrote; None and {} are None. TypeError, ValueError for anything else."""
        if not data:
            return None
        passed = tuple(PassedOver(**one) for one in data.get("passed_over", ()))
        x, y, z = (float(edge) for edge in data["voxel_mm"])
        return cls(**{**data, "voxel_mm": (x, y, z), "passed_over": passed})
