"""Processes below another, some of which may end while they are looked at."""

from __future__ import annotations

import contextlib

import psutil


def descendants(process: psutil.Process, word: str) -> list[psutil.Process]:
    """Those whose command line holds `word` in one of its parts; one that has ended is left out."""
    found = []
    for one in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += [one] if any(word in part for part in one.cmdline()) else []
    return found
