"""Stacks that a request names instead of carrying: read from the blob store's folder, where it is at hand."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = "HIPPOCAMP_BLOBS"
"""Environment variable that names the folder; without it, or with a bucket in it, nothing is read."""

_NAME = re.compile(r"stacks(?:/[A-Za-z0-9][A-Za-z0-9.-]*){2}/[A-Za-z0-9][A-Za-z0-9.-]*\.npz")
_MOST = 4096


def named_stacks(
    body: bytes | bytearray,
) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.float32] | None]:
    """Of `{"stacks": [path in the store, ...]}`, each (32, 208, 176) uint8 when it is what it should be.

    And of `"covariates": [[...], ...]`, if there are any: numbers, or null for what is not known.
    ValueError or OSError when a name or a file is not. A checksum guards every array (zip's CRC-32).
    """
    folder, told = os.environ.get(FOLDER, ""), json.loads(bytes(body[:1_000_000]))
    names = told.get("stacks") if isinstance(told, dict) else None
    if not folder or "://" in folder or not isinstance(names, list) or not 0 < len(names) <= _MOST:
        raise ValueError("no stacks are named, or there is no folder to look for them")
    given = told.get("covariates")
    covariates = None if given is None else np.array(given, dtype=np.float32)
    return [_read(Path(folder), name) for name in names], covariates


def _read(folder: Path, name: object) -> npt.NDArray[np.uint8]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r:.200} is no name of a stack")
    with np.load(folder / name, allow_pickle=False) as parts:
        return np.asarray(parts["slices"])
