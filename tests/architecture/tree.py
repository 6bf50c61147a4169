"""The folders of this repository that the tests of this package look at."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = frozenset(file.parent.name for file in ROOT.glob("*/__init__.py"))
"""Every package at the top."""

PRODUCT = sorted(PACKAGES - {"bench", "tests"})
EVERYWHERE = [*PRODUCT, "bench", "tests"]
"""The product, and what measures and tests it."""
