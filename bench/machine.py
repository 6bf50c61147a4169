"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import signal
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "torchserve", "celery", "redis", "flask", "uvicorn", "numpy", "numba")


def describe() -> dict[str, str]:
    """Processor, cores this process may use, memory, kernel, versions."""
    name = "unknown"
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    about = {
        "processor": name,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    return about | {package: version(package) for package in PACKAGES}


def stop_cleanly() -> None:
    """Have SIGTERM end this process like an exception, so that what it started is stopped too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
