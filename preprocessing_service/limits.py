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

MAX_PIXELS = 8 << 20
"""Pixels of one DICOM frame."""

MAX_FRAMES = 2048
"""Frames of one DICOM file: a volume, several times."""

MAX_DICOM_ENTRY = 208 << 20
"""Bytes one DICOM file may unpack to: a multi-frame volume of MAX_DECODED and its header."""

MAX_DECODED = 200 << 20
"""Bytes of voxels kept in memory: with everything else, a job stays under 600 MB or little above."""

REDUCE_ABOVE = 48 << 20
"""Voxels above which pairs of fine voxels are averaged while they are decoded."""
