"""What an upload may cost: one table for every door, each bound checked before memory is taken."""

from __future__ import annotations

MAX_DIMENSIONS = 7
"""Dimensions a NIfTI or Analyze header may state."""

MAX_AXIS = 512
"""Voxels along one axis."""

MIN_AXIS = 8
"""Fewer planes than this cannot hold a head."""

LEAST_SLICES = 16
"""Images of a DICOM series; shorter ones are localizers and single pictures."""

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

MAX_DICOM_FILE = 120 << 20
"""Bytes of one DICOM file, unpacked, at every door: a multi-frame volume that is halved afterwards, and its
header. A multi-frame head of 1 mm has 34 MB, one of 512 x 512 x 208 has 109."""

MAX_NESTED = 512 << 20
"""Bytes of a zip archive inside a zip archive: it is in memory while it is read."""

MAX_INSTANCES = 8192
"""DICOM instances of one request."""

MAX_HELD = 120 << 20
"""Bytes of DICOM pixels held before the series is chosen; those of later files are read again when needed."""

MAX_DECODED = 72 << 20
"""Bytes of voxels kept in memory: libraries and the second network need 520 MB, and 600 MB is all. Of larger
volumes pairs of fine voxels are averaged while they are decoded, and floats are kept in 16 bits."""

FINE = 0.75
"""mm; voxels up to this edge are averaged two by two in a large volume."""
