"""The client alone, as a hospital's machine gets it: a wheel, in an empty environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.client_wheel.__main__ import build

pytestmark = pytest.mark.integration

MOST_PACKAGES = 16
"""The client, its four dependencies and theirs, and pip."""


def test_the_wheel_needs_few_packages_and_holds_nothing_of_the_service(tmp_path: Path) -> None:
    wheel = build(tmp_path)
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    python = place / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, cwd=tmp_path)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert len(listed) <= MOST_PACKAGES, listed
    helped = subprocess.run(
        [python, "-I", place / "bin" / "hippocamp", "submit", "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert "Usage: hippocamp submit" in helped.stdout
    missing = subprocess.run(
        [python, "-I", "-c", "import jobstore"], capture_output=True, cwd=tmp_path, check=False
    )
    assert missing.returncode == 1
