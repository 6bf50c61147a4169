"""What a worker process is called: nobody else on any machine has, had or will have the same name.

    hospital-1/3f2a9c0d51e7-4026531836-1000/4711.8841203
    host       boot id      pid space  user pid  when it started, in clock ticks since the boot

Two machines may have one host name (clones, images), and every machine's first pid namespace has the same
number; the boot id tells them apart. The user is part of it, because one may be kept from seeing another's
processes.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


def worker_name() -> str:
    """This process's own name."""
    pid = os.getpid()
    return f"{place()}/{pid}.{_started(pid)}"


@cache
def place() -> str:
    """The part that all processes share whose life and death this one can see: `host/boot-pids-user`."""
    boot = _first_line(_PROC / "sys/kernel/random/boot_id").replace("-", "")[:12]
    try:
        namespace = (_PROC / "self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}/{boot or 'unknown'}-{namespace}-{os.getuid()}"


def host_of(worker: str) -> str:
    """The host in a worker's name."""
    return worker.partition("/")[0]


def pid_of(worker: str) -> int:
    """The process in a worker's name; 0 for what is no name of ours."""
    pid, _, started = worker.rpartition("/")[2].partition(".")
    return int(pid) if pid.isdigit() and started.isdigit() else 0


def is_dead(worker: str) -> bool:
    """Whether it is certain that this process of this machine has ended; a zombie has.

    False for whoever cannot be seen from here. A pid that was given out again has another start.
    """
    where, _, own = worker.rpartition("/")
    pid = pid_of(worker)
    if where != place() or not pid or not (_PROC / "self").exists():
        return False
    return _started(pid) != int(own.partition(".")[2])


def _started(pid: int) -> int:
    """When the living process started; 0 for one that is gone or a zombie, and where nobody can tell."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])


def _first_line(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
