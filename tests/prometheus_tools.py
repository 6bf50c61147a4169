"""Where Prometheus's programs are: installed, or Debian's package unpacked into .run/tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / ".run" / "tools"


def promtool() -> str:
    """Path of `promtool`; skips a laptop without it, fails in CI."""
    return _find("promtool")


def prometheus() -> str:
    """Path of the server; skips a laptop without it, fails in CI."""
    return _find("prometheus")


@cache
def _find(name: str) -> str:
    if found := shutil.which(name):
        return found
    unpacked = TOOLS / "usr" / "bin" / name
    why = (
        "no apt on this machine"
        if shutil.which("apt-get") is None
        else ""
        if unpacked.exists()
        else _unpack()
    )
    if unpacked.exists():
        return str(unpacked)
    message = (
        f"{name} is not installed and could not be unpacked ({why}): install Debian's package prometheus"
    )
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _unpack() -> str:
    """Fetch and unpack the package; what went wrong, "" when nothing did."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    for command in (["apt-get", "download", "-q", "prometheus"], ["sh", "-c", "dpkg -x prometheus_*.deb ."]):
        try:
            done = subprocess.run(
                command, cwd=TOOLS, capture_output=True, text=True, check=False, timeout=120
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return (done.stderr or done.stdout).strip()[-200:]
    return ""
