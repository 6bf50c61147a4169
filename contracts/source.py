"""Which DICOM instances a volume was read from, so that reports can point back; it names no person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, kw_only=True)
class DicomSource:
    """Unique identifiers (DICOM PS3.5, 9) of the series behind a stack; ValueError for what is no UID.

    instances: SOP instance UIDs, in the order of the volume's slices.
    frame_of_reference: "" when the series has none.
    """

    study: str
    series: str
    sop_class: str
    instances: tuple[str, ...]
    frame_of_reference: str = ""

    def __post_init__(self) -> None:
        for uid in (self.study, self.series, self.sop_class, *self.instances):
            if not _UID.fullmatch(uid):
                raise ValueError(f"{uid!r} is no DICOM UID")

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the stack's blob."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> DicomSource | None:
        """Read what `to_json` wrote; None stays None."""
        return None if data is None else cls(**{**data, "instances": tuple(data["instances"])})
