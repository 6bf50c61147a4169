"""The preprocessing consumer with nothing to do: every step is told, no voxel is touched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from contracts.stack import HEIGHT, SLICES, WIDTH, Stack
from preprocessing_service.pipeline import STEPS
from preprocessing_service.service import build
from preprocessing_service.settings import Settings

SLEEP = "HIPPOCAMP_BENCH_SLEEP"
"""Seconds that a job sleeps instead of computing (bench.growth)."""

_BLANK = np.zeros((SLICES, HEIGHT, WIDTH), np.uint8)
_FIGURES = {f"figure{n}": 0.5 for n in range(12)}


def prepare(
    path: Path,
    *,
    scratch: Path | None = None,  # noqa: ARG001
    on_step: Callable[[str], None] | None = None,
    on_sheet: Callable[[bytes], None] | None = None,  # noqa: ARG001
) -> Stack:
    """A blank stack with the figures of a real one."""
    if not path.exists():
        raise FileNotFoundError(path)
    time.sleep(float(os.environ.get(SLEEP, "0")))
    for step in STEPS if on_step else ():
        on_step(step)  # type: ignore[misc]
    return Stack(
        _BLANK, np.eye(4), input_shape=(192, 256, 256), input_affine=np.eye(4), quality=_FIGURES,
        seconds=dict.fromkeys(STEPS, 0.0),
    )  # fmt: skip


app = build(Settings(), prepare, digest=lambda: "0" * 64, warm_up=lambda: None)
