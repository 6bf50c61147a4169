"""A process that prepares volumes as a worker does, each in a limited fork of its own, and measures it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CPU_SECONDS, WALL_SECONDS = 60, 900
"""Computing is what is bounded; the other only ends one that hangs, also on a busy machine."""


@dataclass(frozen=True)
class Verdict:
    """What became of a file ("ok": a stack), its seconds of computing, its memory above the idle worker."""

    code: str
    detail: str
    seconds: float
    peak_mb: float


class Cage:
    """Holds the networks in memory like a worker; every file meets a fresh copy of it.

    memory_bytes: private memory one copy may have. room_bytes: in its place, how much above the idle worker.
    """

    def __init__(self, memory_bytes: int = 0, *, room_bytes: int = 0) -> None:
        self.memory_bytes, self.room_bytes = memory_bytes, room_bytes

    def __enter__(self) -> Self:
        single = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.cage", str(self.memory_bytes), str(self.room_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **single},
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def prepare(self, path: Path) -> Verdict:
        """Run one file through `preprocessing_service.prepare`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return Verdict(**json.loads(self._process.stdout.readline()))


def _memory(name: str) -> float:
    """A line of /proc/self/status, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ValueError(name)


def _attempt(path: Path, memory_bytes: int, out: int) -> None:
    """In the fork: limits, the work, one line of JSON."""
    from contracts.errors import HippocampError
    from preprocessing_service import prepare

    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    signal.alarm(WALL_SECONDS)
    Path("/proc/self/clear_refs").write_text("5")
    before, begun = _memory("VmRSS"), time.process_time()
    code, detail = "ok", ""
    try:
        prepare(path)
    except HippocampError as error:
        code, detail = error.code, error.detail
    except Exception as error:  # noqa: BLE001  what a worker would call unforeseen is what we look for
        code, detail = f"!{type(error).__name__}", str(error)
    spent = time.process_time() - begun
    verdict = Verdict(code, detail[:200], round(spent, 3), round(_memory("VmHWM") - before, 1))
    os.write(out, json.dumps(vars(verdict)).encode())


def _in_fork(path: Path, memory_bytes: int) -> str:
    into, out = os.pipe()
    child = os.fork()
    if not child:
        os.close(into)
        _attempt(path, memory_bytes, out)
        os._exit(0)
    os.close(out)
    with os.fdopen(into) as told:
        said = told.read()
    _, status = os.waitpid(child, 0)
    if said:
        return said
    ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status}"
    return json.dumps(vars(Verdict(f"!{ended}", "the process died", -1, -1)))


def main() -> None:
    """Answer every path on stdin with a verdict on stdout."""
    from preprocessing_service.warm_up import warm_up

    warm_up()
    memory_bytes, room_bytes = map(int, sys.argv[1:])
    limit = memory_bytes or round(_memory("VmData") * 2**20) + room_bytes
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(_in_fork(Path(line.strip()), limit) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
