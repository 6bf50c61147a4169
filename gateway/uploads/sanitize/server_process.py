"""Starting and ending a sandbox server, a process of its own (server.py)."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict

from contracts.errors import Unavailable
from gateway.uploads.sanitize.server import READY, SINGLE_ONLY
from gateway.uploads.sanitize.task import Limits

_log = logging.getLogger("hippocamp.gateway")

START_SECONDS = 30.0


class ServerProcess:
    """One server, started when it is first asked for and again when it is gone; used by many threads.

    single: for single volumes only.
    """

    def __init__(self, limits: Limits, *, single: bool) -> None:
        self._limits, self._single = limits, single
        self._starting = threading.Lock()
        self._requests: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def started(self) -> socket.socket:
        """The socket that takes requests; Unavailable when the process does not start."""
        with self._starting:
            if self._requests is None:
                self._requests = self._start()
            return self._requests

    def stop(self, requests: socket.socket | None = None) -> None:
        """End it and its children, unless it is no more the one behind this socket."""
        with self._starting:
            if self._requests is None or requests not in {None, self._requests}:
                return
            self._requests.close()
            self._requests = None
            if self.process:
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        limits = json.dumps(asdict(self._limits))
        command = [sys.executable, "-P", "-m", "gateway.uploads.sanitize.server", limits]
        command += [SINGLE_ONLY] if self._single else []
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603  a command of ours
                command, stdin=theirs.fileno(), env=_environment(), process_group=0
            )
        atexit.register(self.stop, ours)
        try:
            ours.settimeout(START_SECONDS)
            if ours.recv(len(READY)) == READY:
                return ours
        except OSError as error:
            _log.warning("sandbox.not_started", extra={"detail": str(error)})
        ours.close()
        raise Unavailable("The process that reads uploads does not start; send it again later")


def _environment() -> dict[str, str]:
    """Where modules are, and no more: the gateway's environment holds passwords."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
