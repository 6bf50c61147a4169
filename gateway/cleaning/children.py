"""The gateway's side of cleaning: each upload is read by a child process with limits."""

from __future__ import annotations

import atexit
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from typing import IO, Any

from contracts.errors import Backlog, CorruptFile, TooLarge, Unavailable
from gateway.cleaning.limits import Limits
from gateway.cleaning.nursery import READY
from gateway.cleaning.task import Cleaned, Task, answered

_log = logging.getLogger("hippocamp.gateway")

START_SECONDS = 30.0
GRACE_SECONDS = 5.0
"""Beyond its wall time a child is ended by its nursery; later than this, both are."""

MOST_REPLY = 32 << 20
_ATTEMPTS = 2
"""A child that died for no reason of its own (a kill) costs the sender nothing; one that dies again does."""


class Died(Exception):  # noqa: N818  named for what happened
    """A child ended without an answer; `slow`: at its limit of time."""

    def __init__(self, text: str, *, slow: bool = False) -> None:
        super().__init__(text)
        self.slow = slow


class NurseryGone(Exception):  # noqa: N818  named for what happened
    """The nursery ended; no file can do that, so none is to blame."""


class Children:
    """One nursery, started at the first upload and again when it is gone; used by many threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free = threading.BoundedSemaphore(limits.at_once)
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def clean(self, task: Task, source: IO[bytes], out: IO[bytes]) -> Cleaned:
        """Read `source` from its beginning into `out`, which was empty; the InputError that the bytes earn.

        Backlog when all children stayed busy for as long as one may take.
        """
        if not self._free.acquire(timeout=self._limits.wall_seconds):
            raise Backlog("Too many uploads are being read; send it again in a minute")
        try:
            return answered(self._asked(task, source, out))
        finally:
            self._free.release()

    def _asked(self, task: Task, source: IO[bytes], out: IO[bytes]) -> dict[str, Any]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._by_some_nursery(task, source, out)
            except Died as died:
                _log.warning("cleaning.died", extra={"attempt": attempt, "how": str(died), "slow": died.slow})
                if died.slow:
                    raise TooLarge("Reading the upload takes more time than one upload may have") from None
        raise CorruptFile("The file ends the process that reads it; it cannot be taken")

    def _by_some_nursery(self, task: Task, source: IO[bytes], out: IO[bytes]) -> dict[str, Any]:
        for _ in range(_ATTEMPTS):
            source.seek(0)
            _empty(out)
            requests = self.started()
            try:
                return self._once(task, requests, source.fileno(), out.fileno())
            except NurseryGone as gone:
                _log.warning("cleaning.nursery_gone", extra={"how": str(gone)})
                self._stop(requests)
        raise Unavailable("The process that reads uploads does not stay; send it again later")

    def _once(self, task: Task, requests: socket.socket, source: int, out: int) -> dict[str, Any]:
        told, reply = os.pipe()
        try:
            try:
                socket.send_fds(requests, [json.dumps(asdict(task)).encode()], [source, out, reply])
            except OSError as error:
                raise NurseryGone(str(error)) from None
            finally:
                os.close(reply)
            return self._reply(told, requests)
        finally:
            os.close(told)

    def _reply(self, told: int, requests: socket.socket) -> dict[str, Any]:
        answer, waiting = bytearray(), select.poll()
        waiting.register(told, select.POLLIN)
        while waiting.poll(1000 * (self._limits.wall_seconds + GRACE_SECONDS)):
            piece = os.read(told, 1 << 16)
            answer += piece
            if not piece or len(answer) > MOST_REPLY:
                return _understood(bytes(answer))
        self._stop(requests)
        raise Died("neither child nor nursery answered", slow=True)

    def started(self) -> socket.socket:
        """The nursery's socket; it is started when there is none. Unavailable when it does not start."""
        with self._starting:
            if self._requests is None:
                self._requests = self._start()
            return self._requests

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        limits = json.dumps(self._limits.to_json())
        command = [sys.executable, "-P", "-m", "gateway.cleaning.nursery", limits]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  a command of ours
                command, stdin=theirs.fileno(), env=_environment(), process_group=0
            )
        atexit.register(self._stop, ours)
        try:
            ours.settimeout(START_SECONDS)
            if ours.recv(len(READY)) == READY:
                return ours
        except OSError as error:
            _log.warning("cleaning.not_started", extra={"detail": str(error)})
        ours.close()
        raise Unavailable("The process that reads uploads does not start; send it again later")

    def _stop(self, requests: socket.socket) -> None:
        """End the nursery behind this socket and its children, unless another thread did."""
        with self._starting:
            if requests is not self._requests:
                return
            self._requests = None
            requests.close()
            if self._process:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


@cache
def children_of(limits: Limits) -> Children:
    """One for each process of the gateway, however many applications it holds."""
    return Children(limits)


def _understood(answer: bytes) -> dict[str, Any]:
    if not answer:
        raise NurseryGone("it left no answer")
    try:
        told = dict(json.loads(answer))
    except ValueError:
        raise Died("the child's answer is broken") from None
    if died := told.get("died"):
        raise Died(f"ended by {died['signal']}", slow=bool(died["slow"]))
    return told


def _empty(out: IO[bytes]) -> None:
    """What a child that died had written; a device has nothing to empty."""
    with suppress(OSError):
        os.ftruncate(out.fileno(), 0)
        os.lseek(out.fileno(), 0, os.SEEK_SET)


def _environment() -> dict[str, str]:
    """Where modules are, and no more: the gateway's holds passwords."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
