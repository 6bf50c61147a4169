"""The digest that names exactly this pipeline: its sources, weights and template."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import imaging
from imaging.grid import GRID_TO_MNI
from preprocessing_service.assets import assets_digest

DECIDING = (
    "formats/*.py", "steps/*.py", "brain_extraction/*.py", "assets.py", "coarse.py", "compiled.py",
    "pipeline.py", "polynomial.py", "regions.py", "sampling.py", "template.py", "volume.py",
)  # fmt: skip
"""The sources that decide what the stack holds."""

BESIDE_FORMATS = frozenset({
    "__init__.py", "codestreams.py", "completeness.py", "deidentify.py", "headers.py", "hemisphere.py",
    "instances.py", "patient.py", "places.py", "sniff.py",
})  # fmt: skip
"""Sources of `imaging` for the doors and for anatomy alone; the others decide what is read."""

BESIDE = frozenset({
    "__main__.py", "allocation.py", "consumer.py", "cpu_limit.py", "digest.py", "metrics.py", "pictures.py",
    "png.py", "scratch.py", "service.py", "settings.py", "sheet.py", "spans.py", "warm_up.py",
})  # fmt: skip
"""The others: a change in them must not empty the cache. A test knows when a module is in neither."""

SEPARATE = frozenset({"anatomy", "derivations"})
"""Folders that decide nothing: anatomy has a digest of its own, derivations stand behind constants."""


@cache
def pipeline_digest() -> str:
    """SHA-256 (64 hex digits) of everything that decides what `prepare` returns; the same on every machine.

    Parameters are constants in the sources, so the sources stand for them. Line ends are unified.
    """
    folder = Path(__file__).parent
    whole = hashlib.sha256(assets_digest().encode() + GRID_TO_MNI.tobytes())
    sources = sorted(file for pattern in DECIDING for file in folder.glob(pattern))
    formats = Path(imaging.__file__).parent.glob("*.py")
    sources += sorted(file for file in formats if file.name not in BESIDE_FORMATS)
    for source in sources:
        text = source.read_bytes().replace(b"\r\n", b"\n")
        name = source.relative_to(folder.parent).as_posix().encode()
        whole.update(name + b"\0" + hashlib.sha256(text).digest())
    return whole.hexdigest()
