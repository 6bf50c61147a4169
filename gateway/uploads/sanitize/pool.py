"""The gateway's side of the sandbox: every upload is read by a child process within limits.

`SandboxPool.sanitize` is what the rest of the gateway calls. It takes a slot, hands the open files to a
sandbox server (server.py), which forks a child for them, and waits for the child's answer.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cache
from typing import IO, Any

from contracts.errors import CorruptFile, TooLarge, Unavailable
from gateway.http.errors import SandboxBusy
from gateway.uploads.sanitize.server_process import ServerProcess
from gateway.uploads.sanitize.task import SINGLE, Kind, Limits, Sanitized, Task, result_of

_log = logging.getLogger("hippocamp.gateway")

Charge = Callable[[float], None]

GRACE_SECONDS = 5.0
"""The server ends a child at its wall time; when nothing has come so long after that, both are ended."""

MOST_ANSWER = 32 << 20
_ATTEMPTS = 2
"""A child that was killed from outside costs the sender nothing; a file that ends two of them is refused."""


class ChildDied(Exception):  # noqa: N818  named for what happened
    """A child ended without an answer; `slow`: at a limit of time. cpu_seconds: what it had spent."""

    def __init__(self, text: str, *, slow: bool = False, cpu_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.slow, self.cpu_seconds = slow, cpu_seconds


class ServerGone(Exception):  # noqa: N818  named for what happened
    """The sandbox server ended; no file can do that, so none is to blame."""


class SiteSlots:
    """Uploads that one process has read at a time; a site has half of the slots at most, but always one."""

    def __init__(self, at_once: int, *, wait_seconds: float) -> None:
        self._free, self._wait_seconds = at_once, wait_seconds
        self._most_of_site = max(1, at_once // 2)
        self._held: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, site: str) -> Iterator[None]:
        """A slot for as long as the block runs; SandboxBusy when there is none in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(site), self._wait_seconds):
                raise self._refusal(site)
            self._free -= 1
            self._held[site] += 1
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._held -= Counter([site])  # drops the site with its last slot
                self._changed.notify_all()

    def _has_room(self, site: str) -> bool:
        return self._free > 0 and self._held[site] < self._most_of_site

    def _refusal(self, site: str) -> SandboxBusy:
        whose = "of your site are" if self._held[site] >= self._most_of_site else "are"
        return SandboxBusy(f"Too many uploads {whose} being read; send it again in a few seconds")


class SandboxPool:
    """Two servers: a small one for single volumes, and one that knows DICOM. Used by many threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.slots = SiteSlots(limits.at_once, wait_seconds=limits.wait_seconds)
        self._servers = ServerProcess(limits, single=True), ServerProcess(limits, single=False)

    def start(self) -> None:
        """Have both servers there before the first upload; Unavailable."""
        for server in self._servers:
            server.started()

    def stop(self) -> None:
        """End both servers and whatever their children are at."""
        for server in self._servers:
            server.stop()

    def server(self, kind: Kind) -> ServerProcess:
        """The one that reads such uploads."""
        small, large = self._servers
        return small if kind in SINGLE else large

    def sanitize(
        self, task: Task, source: IO[bytes], out: IO[bytes], *, site: str = "", charge: Charge | None = None
    ) -> Sanitized:
        """Read `source` from its beginning into `out`; raises the InputError that the bytes earn.

        `out` is empty, or `source` itself where the task is one in place. SandboxBusy when no slot is free in
        time. site: takes the slot. charge: is called with the CPU seconds of every child.
        """
        charge = charge or _free
        with self.slots.taken(site):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    answer = self._answer(task, source, out)
                except ChildDied as died:
                    charge(died.cpu_seconds)
                    _noted(died, attempt)
                else:
                    charge(float(answer.get("cpu_seconds", 0)))
                    return result_of(answer)
        raise CorruptFile("The file ends the process that reads it; it cannot be taken")

    def _answer(self, task: Task, source: IO[bytes], out: IO[bytes]) -> dict[str, Any]:
        """Of one child; a server that has ended is replaced once."""
        server = self.server(task.kind)
        for _ in range(_ATTEMPTS):
            source.seek(0)
            if not task.in_place:
                _empty(out)
            requests = server.started()
            try:
                answer = self._ask(requests, task, source.fileno(), out.fileno())
            except ServerGone as gone:
                _log.warning("sandbox.server_gone", extra={"how": str(gone)})
                server.stop(requests)
                continue
            if answer is None:
                server.stop(requests)
                most = float(self._limits.cpu_seconds)
                raise ChildDied("neither child nor server answered", slow=True, cpu_seconds=most)
            return answer
        raise Unavailable("The process that reads uploads does not stay; send it again later")

    def _ask(self, requests: socket.socket, task: Task, source: int, out: int) -> dict[str, Any] | None:
        """Hand over the files and a pipe for the answer; None when nobody answers in time."""
        answers, answer_to = os.pipe()
        try:
            try:
                socket.send_fds(requests, [json.dumps(asdict(task)).encode()], [source, out, answer_to])
            except OSError as error:
                raise ServerGone(str(error)) from None
            finally:
                os.close(answer_to)
            return self._read(answers)
        finally:
            os.close(answers)

    def _read(self, answers: int) -> dict[str, Any] | None:
        answer, waiting = bytearray(), select.poll()
        waiting.register(answers, select.POLLIN)
        while waiting.poll(1000 * (self._limits.wall_seconds + GRACE_SECONDS)):
            piece = os.read(answers, 1 << 16)
            answer += piece
            if not piece or len(answer) > MOST_ANSWER:
                return _decoded(bytes(answer))
        return None


@cache
def sandbox_pool(limits: Limits) -> SandboxPool:
    """One for each process of the gateway, however many applications it holds."""
    return SandboxPool(limits)


def _decoded(data: bytes) -> dict[str, Any]:
    if not data:
        raise ServerGone("it left no answer")
    try:
        answer = dict(json.loads(data))
    except ValueError:
        raise ChildDied("the child's answer is broken") from None
    if died := answer.get("died"):
        spent = float(answer.get("cpu_seconds", 0))
        raise ChildDied(f"ended by {died['signal']}", slow=bool(died["slow"]), cpu_seconds=spent)
    return answer


def _noted(died: ChildDied, attempt: int) -> None:
    """In the log; TooLarge for one that was at a limit of time, since another would be so too."""
    how = {"attempt": attempt, "how": str(died), "slow": died.slow}
    _log.warning("sandbox.child_died", extra=how)
    if died.slow:
        raise TooLarge("Reading the upload takes more time than one upload may have") from None


def _empty(out: IO[bytes]) -> None:
    """Remove what a child that died had written; a device has nothing to remove."""
    with suppress(OSError):
        os.ftruncate(out.fileno(), 0)
        os.lseek(out.fileno(), 0, os.SEEK_SET)


def _free(_: float) -> None:
    """Nobody is charged."""
