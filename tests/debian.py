"""Where programs of Debian's packages are that pip does not carry: installed, or brought in for the tests."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / ".run" / "tools"


@cache
def program(name: str, *, package: str, extra: tuple[str, ...] = ()) -> str:
    """Path of a program. Root installs its packages; without it a laptop skips and CI fails."""
    if found := shutil.which(name):
        return found
    with _alone():
        why = "" if shutil.which(name) else _install(package, *extra)
    if found := shutil.which(name):
        return found
    return _missing(name, package, why)


@cache
def unpacked(name: str, *, package: str) -> str:
    """Path of a program that runs from anywhere: installed, else its package unpacked into .run/tools."""
    if found := shutil.which(name):
        return found
    place = TOOLS / "usr" / "bin" / name
    with _alone():
        why = "" if place.exists() else _unpack(package)
    return str(place) if place.exists() else _missing(name, package, why)


@contextmanager
def _alone() -> Iterator[None]:
    """Tests run side by side, and apt refuses to."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _missing(name: str, package: str, why: str) -> str:
    message = f"{name} is not there and could not be had ({why}): install Debian's package {package}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _install(*packages: str) -> str:
    """What went wrong, "" when nothing did."""
    if shutil.which("apt-get") is None:
        return "no apt on this machine"
    if os.geteuid():
        return "only root installs packages"
    options = ["-q", "-y", "--no-install-recommends"]
    return _run(["apt-get", "update", "-q"]) or _run(["apt-get", "install", *options, *packages])


def _unpack(package: str) -> str:
    """What went wrong, "" when nothing did."""
    if shutil.which("apt-get") is None:
        return "no apt on this machine"
    download = ["apt-get", "download", "-q", package]
    fetched = _run(download) and _refreshed(download)
    return fetched or _run(["sh", "-c", f"dpkg -x {package}_*.deb ."])


def _refreshed(download: list[str]) -> str:
    """A new machine has no package lists yet; only root can bring them."""
    return _run(["apt-get", "update", "-q"]) or _run(download)


def _run(command: list[str]) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=TOOLS, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr or done.stdout).strip()[-200:] if done.returncode else ""
