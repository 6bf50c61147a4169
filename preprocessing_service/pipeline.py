"""The whole path from one volume file to the stack, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from contracts.stack import Stack


def prepare(path: Path, *, scratch: Path | None = None, on_step: Callable[[str], None] | None = None) -> Stack:
    """Turn one volume file into the stack; raises InputError or QualityRefused, nothing else for bad input."""
    raise NotImplementedError
