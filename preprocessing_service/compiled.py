"""The compiler of the voxel loops, with its cache beside the template's instead of beside the sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from preprocessing_service.assets import cache_folder

Loop = TypeVar("Loop", bound=Callable[..., Any])

if not os.environ.get("NUMBA_CACHE_DIR"):
    numba.config.CACHE_DIR = str(cache_folder() / "numba")  # type: ignore[attr-defined]


def compiled(loop: Loop) -> Loop:
    """The loop as machine code: one thread, no interpreter lock, kept on disk for the next process."""
    return cast("Loop", numba.njit(cache=True, nogil=True, fastmath=True)(loop))
