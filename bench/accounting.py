"""What the processes of a local system have used: CPU seconds and memory, by service."""

from __future__ import annotations

from contextlib import suppress

import psutil

from deploy.local.supervisor import LocalSystem

Used = dict[str, float]


def family(leader: psutil.Process) -> list[psutil.Process]:
    """A process with all its living descendants."""
    found = [leader]
    with suppress(psutil.NoSuchProcess):
        found += leader.children(recursive=True)
    return found


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process and of the children it has outlived; 0 when it is gone."""
    with suppress(psutil.NoSuchProcess):
        return float(sum(process.cpu_times()[:4]))
    return 0.0


def cpu_by_service(stack: LocalSystem) -> Used:
    """CPU seconds each service has used so far, its children included."""
    used = {}
    for item in stack.remembered():
        leader = item.process()
        used[item.name] = sum(cpu_seconds(one) for one in family(leader)) if leader else 0.0
    return used


def pss(process: psutil.Process) -> float:
    """Proportional set size in bytes; 0 when the process is gone."""
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_full_info().pss)
    return 0.0


def since(before: Used, now: Used) -> Used:
    """What was used between two readings."""
    return {name: value - before.get(name, 0.0) for name, value in now.items()}
