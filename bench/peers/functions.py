"""What every peer serves: a head's bytes in, the stage's probabilities out, one core a process."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""The environment every process of every peer starts with."""


@cache
def load() -> object:
    """The model, with everything compiled that compiles at first use; as our own workers warm up."""
    from model_store.release.digest import RELEASE
    from model_store.served.model import Model, keep_memory
    from preprocessing_service.warm_up import warm_up

    keep_memory()
    warm_up()
    return Model(RELEASE)


def answer(path: Path) -> dict[str, list[float]]:
    """Prepare and score the volume at `path`."""
    from preprocessing_service import prepare

    parts = load().answer(prepare(path, on_sheet=len).slices[None])  # type: ignore[attr-defined]
    return {"probabilities": [float(p) for p in parts["probabilities"][0]]}


def answer_bytes(volume: bytes) -> dict[str, list[float]]:
    """The same for a body in memory, which the readers want in a file."""
    handle, name = tempfile.mkstemp(suffix=".nii.gz")
    with os.fdopen(handle, "wb") as out:
        out.write(volume)
    try:
        return answer(Path(name))
    finally:
        Path(name).unlink()
