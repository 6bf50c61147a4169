"""What an upload may cost: every bound that is checked before memory is taken, in one place."""

from __future__ import annotations

MAX_AXIS = 512
"""Voxels along one axis."""

MIN_AXIS = 8
"""Fewer planes than this cannot hold a head."""

MIN_ZOOM, MAX_ZOOM = 0.2, 10.0
"""Voxel edge, mm."""

MAX_EXTENT = 700.0
"""Field of view along one axis, mm."""

MAX_TRAILING = 1 << 20
"""Bytes after the voxels that are tolerated (MGH keeps its tags there)."""

MAX_HEADER = 1 << 20
"""Bytes of extensions between header and voxels."""

MAX_ENTRIES = 4096
"""Entries in a zip archive."""

MAX_DIRECTORY = 4 << 20
"""Bytes of a zip archive's directory: 1,000 for each entry there may be."""

MAX_ENTRY = 1 << 30
"""Bytes one zip entry may unpack to."""

MAX_ARCHIVE = 3 << 29
"""Bytes all zip entries together may unpack to."""

MAX_DICOM_ENTRY = 8 << 20
"""Bytes one DICOM slice may unpack to (1024 x 1024 float64)."""

MAX_RATIO = 1100
"""Unpacked to packed bytes of one zip entry: the most deflate can reach is 1032."""

MAX_DECODED = 200 << 20
"""Bytes of voxels kept in memory: with everything else, a job stays under 600 MB or little above."""

REDUCE_ABOVE = 48 << 20
"""Voxels above which pairs of fine voxels are averaged while they are decoded."""
