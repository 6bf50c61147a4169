"""The sandbox server: a process that never looks at an upload itself, and forks a child for each.

Started by server_process.py as `python -m gateway.uploads.sanitize.server LIMITS [single]`, with a socket as
its standard input; `single`: it will be asked for single volumes only. It has no password, no address and no
open connection, so its children have none either.

1. Warm up: import whatever reading an upload needs, since a child cannot open a file, not even a module.
2. For each request fork a child. The child confines itself, reads the upload, answers and ends (task.py).
3. Reap the child. When it died without an answer, say how; when its wall time is over, end it.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from contracts.errors import TooLarge
from gateway.uploads.sanitize.task import Limits, Task, not_written, perform
from gateway.uploads.sanitize.warm_up import warm_up

READY = b"ready"
SINGLE_ONLY = "single"
MOST_REQUEST = 1 << 17
"""Bytes of a task: sizes of 8192 instances."""
HEADROOM = 16 << 20
"""Bytes that what is stored may have besides the voxels: headers, archive directories."""

_NICENESS = 5
"""Uploads are read with what the requests of others leave of the processors."""
_POLITE_SECONDS = 2
"""Seconds of computing between TooLarge and the kernel's kill."""


@dataclass(frozen=True)
class Child:
    """A fork at work. alive: a pipe that ends with it. answer_to: where its answer goes."""

    pid: int
    alive: int
    answer_to: int
    ends: float


class SandboxServer:
    """Forks and reaps."""

    def __init__(self, requests: socket.socket, limits: Limits) -> None:
        self._requests, self._limits = requests, limits
        self._children: dict[int, Child] = {}
        self._events = selectors.DefaultSelector()
        self._events.register(requests, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the gateway's process closes its end; children that are left then are killed."""
        open_for_more = True
        while open_for_more:
            for key, _ in self._events.select(self._seconds_left()):
                if key.fileobj is self._requests:
                    open_for_more = self._fork()
                else:
                    self._reap(self._children.pop(key.fd))
            self._end_the_slow()
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)

    def _fork(self) -> bool:
        request, handles, _, _ = socket.recv_fds(self._requests, MOST_REQUEST, 3)
        if not request:
            return False
        source, out, answer_to = handles
        alive, held = os.pipe()
        pid = os.fork()
        if not pid:
            _work(Task(**json.loads(request)), self._limits, (source, out, answer_to, held))
        for handle in (source, out, held):
            os.close(handle)
        child = Child(pid, alive, answer_to, time.monotonic() + self._limits.wall_seconds)
        self._children[alive] = child
        self._events.register(alive, selectors.EVENT_READ)
        return True

    def _seconds_left(self) -> float | None:
        if not self._children:
            return None
        return max(0.0, min(child.ends for child in self._children.values()) - time.monotonic())

    def _end_the_slow(self) -> None:
        for child in self._children.values():
            if time.monotonic() >= child.ends:
                os.kill(child.pid, signal.SIGKILL)

    def _reap(self, child: Child) -> None:
        _, status, usage = os.wait4(child.pid, 0)
        self._events.unregister(child.alive)
        os.close(child.alive)
        if status:
            spent = usage.ru_utime + usage.ru_stime
            slow = spent >= self._limits.cpu_seconds or time.monotonic() >= child.ends
            died = {"signal": os.waitstatus_to_exitcode(status), "slow": slow}
            with suppress(OSError):
                os.write(child.answer_to, json.dumps({"died": died, "cpu_seconds": spent}).encode())
        os.close(child.answer_to)


def _work(task: Task, limits: Limits, handles: tuple[int, int, int, int]) -> NoReturn:
    """All that a child does."""
    source, out, answer_to, _ = handles
    code = 1
    try:
        confine(limits, most_bytes=task.most_bytes, keep=set(handles))
        outcome = _outcome(task, source, out)
        answer = json.dumps({**outcome, "cpu_seconds": time.process_time()}).encode()
        while answer:
            answer = answer[os.write(answer_to, answer) :]
        code = 0
    finally:
        os._exit(code)


def _outcome(task: Task, source: int, out: int) -> dict[str, Any]:
    try:
        how = "r+b" if task.in_place else "rb"
        with os.fdopen(source, how) as read, os.fdopen(out, "wb", closefd=False) as written:
            return perform(task, read, written)
    except OSError as error:  # a full disk is met once more when the rest is written at the end
        return not_written(error)
    except Exception as error:  # noqa: BLE001  a fault of ours: its name alone, since its text may quote the file
        return {"died": {"signal": type(error).__name__, "slow": False}}


def confine(limits: Limits, *, most_bytes: int, keep: set[int]) -> None:
    """From here on this process may compute, and read and write what it has open; it can open nothing.

    keep: descriptors that stay open besides the three standard ones; all others are closed.
    most_bytes: of what it may write to a file.
    """
    with suppress(OSError):
        _write("/proc/self/oom_score_adj", b"1000")  # when memory ends, this process goes first
    most = limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + _POLITE_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes + HEADROOM, most_bytes + HEADROOM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    ends = max(keep) + 1
    for handle in set(range(3, ends)) - keep:
        with suppress(OSError):
            os.close(handle)
    os.closerange(ends, ends + 64)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _write(path: str, data: bytes) -> None:
    """As `Path.write_bytes`, which touches ten times as many pages of the parent's."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def _out_of_time(*_: object) -> NoReturn:
    raise TooLarge("Reading the upload takes too much computing time; send a smaller or plainer file")


def main() -> None:
    """Serve the socket that is our standard input."""
    limits = Limits(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the gateway's to answer
    signal.signal(signal.SIGXCPU, _out_of_time)  # here, because it costs less once than in every child
    requests = socket.socket(fileno=os.dup(0))
    warm_up(single=sys.argv[2:] == [SINGLE_ONLY])
    gc.collect()
    gc.freeze()
    os.nice(_NICENESS)
    requests.send(READY)
    SandboxServer(requests, limits).serve()


if __name__ == "__main__":
    main()
