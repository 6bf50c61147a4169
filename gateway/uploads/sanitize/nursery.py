"""A process that never looks at an upload itself: for each it forks a child that may do nothing else.

Started by nurseries.py as `python -m gateway.uploads.sanitize.nursery LIMITS [single]`, with a socket as its
standard input; `single`: it will be asked for single volumes only. It has no password, no address and
no open connection, so its children have none either.
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
from typing import Any

from gateway.uploads.sanitize.limits import Limits, confine, end_politely
from gateway.uploads.sanitize.task import Task, not_written, perform
from gateway.uploads.sanitize.warm_up import warm_up

READY = b"ready"
_NICENESS = 5
"""Uploads are read with what the requests of others leave of the processors."""
SINGLE_ONLY = "single"
MOST_REQUEST = 1 << 17
"""Bytes of a task: sizes of 8192 instances."""


@dataclass(frozen=True)
class Child:
    """A fork at work. alive: a pipe that ends with it. reply: where its answer goes."""

    pid: int
    alive: int
    reply: int
    ends: float


class Nursery:
    """Forks, waits, and says of a child that died without a word how it died."""

    def __init__(self, requests: socket.socket, limits: Limits) -> None:
        self._requests, self._limits = requests, limits
        self._children: dict[int, Child] = {}
        self._events = selectors.DefaultSelector()
        self._events.register(requests, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the gateway's process closes its end; children that are left then are killed."""
        open_for_more = True
        while open_for_more:
            for key, _ in self._events.select(self._wait_seconds()):
                if key.fileobj is self._requests:
                    open_for_more = self._take()
                else:
                    self._reap(self._children.pop(key.fd))
            self._end_the_slow()
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)

    def _take(self) -> bool:
        request, handles, _, _ = socket.recv_fds(self._requests, MOST_REQUEST, 3)
        if not request:
            return False
        source, out, reply = handles
        alive, held = os.pipe()
        pid = os.fork()
        if not pid:
            _work(Task(**json.loads(request)), self._limits, (source, out, reply, held))
        for handle in (source, out, held):
            os.close(handle)
        child = Child(pid, alive, reply, time.monotonic() + self._limits.wall_seconds)
        self._children[alive] = child
        self._events.register(alive, selectors.EVENT_READ)
        return True

    def _wait_seconds(self) -> float | None:
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
                os.write(child.reply, json.dumps({"died": died, "cpu_seconds": spent}).encode())
        os.close(child.reply)


def _work(task: Task, limits: Limits, handles: tuple[int, int, int, int]) -> None:
    """In the child: never returns."""
    source, out, reply, _ = handles
    code = 1
    try:
        confine(limits, most_bytes=task.most_bytes, keep=set(handles))
        outcome = _outcome(task, source, out)
        answer = json.dumps({**outcome, "cpu_seconds": time.process_time()}).encode()
        while answer:
            answer = answer[os.write(reply, answer) :]
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
    except Exception as error:  # noqa: BLE001  a fault of ours is told by its name alone: texts may quote the file
        return {"died": {"signal": type(error).__name__, "slow": False}}


def main() -> None:
    """Serve the socket that is our standard input."""
    limits = Limits(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the gateway's to answer
    end_politely()
    requests = socket.socket(fileno=os.dup(0))
    warm_up(single=sys.argv[2:] == [SINGLE_ONLY])
    gc.collect()
    gc.freeze()
    os.nice(_NICENESS)
    requests.send(READY)
    Nursery(requests, limits).serve()


if __name__ == "__main__":
    main()
