"""gunicorn's threaded worker with a bound on how long a client may take to send its request."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

from gunicorn.http import parser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import ThreadWorker

from gateway.direct_body import DirectBody

T = TypeVar("T")

GRACE_SECONDS = 10.0
"""Time the network may take for a request's first bytes, and be ahead of LEAST_RATE at any moment after."""

LEAST_RATE = 16 << 10
"""Bytes a second an upload must reach in the long run: a gigabyte in 18 hours."""

SEND_SECONDS = 300.0
"""Longest a client may take to accept one piece of an answer."""


SocketUnreader.max_body_chunk = 1 << 18  # its default, 1 MB, leaves a core's cache between two copies
parser._DRAIN_MAX_BYTES = 16 << 20
"""What is left of a body that was refused at its first bytes is read, up to this much, so that the connection
can be used again; beyond its default of 64 kB gunicorn closes it without having said so."""


class BoundedSocket:
    """A client's socket whose reads share one budget of waiting; only waiting counts, never our own work.

    Without it, a few connections that send a byte now and then hold all threads for as long as they like.
    """

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped
        self.begin()

    def begin(self) -> None:
        """A new request: its budget is full."""
        self._waited, self._received = 0.0, 0

    def recv(self, size: int) -> bytes:
        """As socket.recv; ConnectionResetError when the client used up its budget."""
        data = self._patiently(lambda: self._wrapped.recv(size))
        self._received += len(data)
        return data

    def recv_into(self, out: memoryview, size: int) -> int:
        """As socket.recv_into, within the same budget."""
        got = self._patiently(lambda: self._wrapped.recv_into(out, size))
        self._received += got
        return got

    def _patiently(self, receive: Callable[[], T]) -> T:
        left = GRACE_SECONDS + self._received / LEAST_RATE - self._waited
        if left <= 0:
            raise ConnectionResetError("the request came too slowly")
        begun = time.monotonic()
        self._wrapped.settimeout(left)
        try:
            return receive()
        except TimeoutError:
            raise ConnectionResetError("the request came too slowly") from None
        finally:
            self._waited += time.monotonic() - begun
            self._wrapped.settimeout(SEND_SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


class BoundedWorker(ThreadWorker):  # type: ignore[misc]
    """Every request of every connection starts with a full budget. TLS ends before the gateway."""

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection that has something to say to a thread."""
        if isinstance(conn.sock, BoundedSocket):
            conn.sock.begin()
        elif not self.cfg.is_ssl:
            conn.sock = BoundedSocket(conn.sock)
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve one request, whose body can be received without copies."""
        req.body = DirectBody.of(req.body)
        return super().handle_request(req, conn)
