"""The list, inside a stored archive, of what its door passed over: words of our vocabulary and counts."""

from __future__ import annotations

import json
from collections.abc import Iterable

from contracts.errors import CorruptFile
from contracts.series_read import MOST_LISTED, PassedOver, SeriesRead
from imaging.archive import Archive
from imaging.contents import MANIFEST, Entries

_MOST_BYTES = 1 << 16


def written(passed: Iterable[PassedOver], read: SeriesRead | None = None) -> bytes:
    """The entry's bytes."""
    listed = [vars(one) for one in passed][:MOST_LISTED]
    return json.dumps({"read": read.to_json() if read else None, "passed_over": listed}).encode()


def listed(archive: Entries) -> tuple[SeriesRead | None, list[PassedOver]]:
    """What the door wrote, nothing when it wrote nothing; CorruptFile for what no door writes."""
    entry = next((one for one in archive.entries if one.filename == MANIFEST), None)
    if entry is None:
        return None, []
    if entry.file_size > _MOST_BYTES or not isinstance(archive, Archive):
        raise CorruptFile("The archive's list of series is too long")
    try:
        found = json.loads(archive.unpack(entry))
        passed = [PassedOver(**one) for one in found["passed_over"]][:MOST_LISTED]
        return SeriesRead.of(found["read"]), passed
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptFile("The archive's list of series is damaged") from error
