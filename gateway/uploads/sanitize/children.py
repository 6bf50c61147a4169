"""The gateway's side of cleaning: each upload is read by a child process with limits."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import IO, Any

from contracts.errors import CorruptFile, TooLarge, Unavailable
from gateway.uploads.sanitize.limits import Limits
from gateway.uploads.sanitize.nurseries import Nursery
from gateway.uploads.sanitize.places import Places
from gateway.uploads.sanitize.task import SINGLE, Cleaned, Kind, Task, answered

_log = logging.getLogger("hippocamp.gateway")

GRACE_SECONDS = 5.0
"""Beyond its wall time a child is ended by its nursery; later than this, both are."""

MOST_REPLY = 32 << 20
_ATTEMPTS = 2
"""A child that died for no reason of its own (a kill) costs the sender nothing; one that dies again does."""


class Died(Exception):  # noqa: N818  named for what happened
    """A child ended without an answer; `slow`: at its limit of time. cpu_seconds: what it had spent."""

    def __init__(self, text: str, *, slow: bool = False, cpu_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.slow, self.cpu_seconds = slow, cpu_seconds


class NurseryGone(Exception):  # noqa: N818  named for what happened
    """The nursery ended; no file can do that, so none is to blame."""


@dataclass(frozen=True)
class Payer:
    """The site whose upload is read, and what becomes of the CPU seconds that this takes."""

    site: str = ""
    charge: Callable[[float], None] | None = None

    def pays(self, cpu_seconds: float) -> None:
        """Nothing, when nobody charges."""
        if self.charge:
            self.charge(cpu_seconds)


class Children:
    """Of two nurseries: one for single volumes, a small process, and one for what holds DICOM.

    Started at their first upload and again when they are gone; used by many threads.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.places = Places(limits.at_once, wait_seconds=limits.wait_seconds)
        self._nurseries = Nursery(limits, single=True), Nursery(limits, single=False)

    def nursery(self, kind: Kind) -> Nursery:
        """The one that reads such uploads."""
        small, large = self._nurseries
        return small if kind in SINGLE else large

    def clean(self, task: Task, source: IO[bytes], out: IO[bytes], *, payer: Payer | None = None) -> Cleaned:
        """Read `source` from its beginning into `out`; raises the InputError that the bytes earn.

        `out` is empty, or `source` itself where the task is one in place. SandboxBusy when no child was free
        for so long as an upload waits. payer: who takes a place, and is charged.
        """
        payer = payer or Payer()
        with self.places.taken(payer.site):
            return answered(self._asked(task, source, out, payer))

    def _asked(self, task: Task, source: IO[bytes], out: IO[bytes], payer: Payer) -> dict[str, Any]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                told = self._by_some_nursery(task, source, out)
                payer.pays(float(told.get("cpu_seconds", 0)))
                return told
            except Died as died:
                payer.pays(died.cpu_seconds)
                _log.warning("cleaning.died", extra={"attempt": attempt, "how": str(died), "slow": died.slow})
                if died.slow:
                    raise TooLarge("Reading the upload takes more time than one upload may have") from None
        raise CorruptFile("The file ends the process that reads it; it cannot be taken")

    def _by_some_nursery(self, task: Task, source: IO[bytes], out: IO[bytes]) -> dict[str, Any]:
        nursery = self.nursery(task.kind)
        for _ in range(_ATTEMPTS):
            source.seek(0)
            if not task.in_place:
                _empty(out)
            requests = nursery.started()
            try:
                told = self._once(task, requests, source.fileno(), out.fileno())
            except NurseryGone as gone:
                _log.warning("cleaning.nursery_gone", extra={"how": str(gone)})
                nursery.stop(requests)
                continue
            if told is None:
                nursery.stop(requests)
                most = float(self._limits.cpu_seconds)
                raise Died("neither child nor nursery answered", slow=True, cpu_seconds=most)
            return told
        raise Unavailable("The process that reads uploads does not stay; send it again later")

    def _once(self, task: Task, requests: socket.socket, source: int, out: int) -> dict[str, Any] | None:
        told, reply = os.pipe()
        try:
            try:
                socket.send_fds(requests, [json.dumps(asdict(task)).encode()], [source, out, reply])
            except OSError as error:
                raise NurseryGone(str(error)) from None
            finally:
                os.close(reply)
            return self._reply(told)
        finally:
            os.close(told)

    def _reply(self, told: int) -> dict[str, Any] | None:
        """None when nobody answers in time."""
        answer, waiting = bytearray(), select.poll()
        waiting.register(told, select.POLLIN)
        while waiting.poll(1000 * (self._limits.wall_seconds + GRACE_SECONDS)):
            piece = os.read(told, 1 << 16)
            answer += piece
            if not piece or len(answer) > MOST_REPLY:
                return _understood(bytes(answer))
        return None

    def start(self) -> None:
        """Have all nurseries there before they are needed; Unavailable."""
        for nursery in self._nurseries:
            nursery.started()

    def stop(self) -> None:
        """End all nurseries and whatever their children are at."""
        for nursery in self._nurseries:
            nursery.stop()


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
        spent = float(told.get("cpu_seconds", 0))
        raise Died(f"ended by {died['signal']}", slow=bool(died["slow"]), cpu_seconds=spent)
    return told


def _empty(out: IO[bytes]) -> None:
    """What a child that died had written; a device has nothing to empty."""
    with suppress(OSError):
        os.ftruncate(out.fileno(), 0)
        os.lseek(out.fileno(), 0, os.SEEK_SET)
