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

MAX_DICOM_ENTRY = 120 << 20
"""Bytes one DICOM file may unpack to: a multi-frame volume of MAX_DECODED and its header."""

MAX_DECODED = 112 << 20
"""Bytes of voxels kept in memory: libraries and the network's activations need 480 MB, and 600 MB is all."""

REDUCE_ABOVE = 80 << 20
"""Bytes of voxels above which pairs of fine voxels are averaged while they are decoded."""
