"""HTTP by hand, for clients that do what no library would."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """The gateway's port, and the key of the site that calls."""

    port: int
    key: str

    def head(self, method: str, path: str, *fields: str) -> bytes:
        """A request's head."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.key}", *fields]
        return "\r\n".join([*lines, "", ""]).encode()

    def connect(self, *, window: int = 0, seconds: float = 10) -> socket.socket:
        """A connection that does not block; `window`: bytes of answers that its kernel takes."""
        one = socket.socket()
        if window:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        one.settimeout(seconds)
        one.connect(("127.0.0.1", self.port))
        one.setblocking(False)
        return one

    def many(self, count: int, *, window: int = 0) -> list[socket.socket]:
        """As many connections as can be had."""
        found: list[socket.socket] = []
        with suppress(OSError):
            while len(found) < count:
                found.append(self.connect(window=window))
        return found

    def ask(self, request: bytes, *, seconds: float = 10) -> tuple[int, bytes]:
        """(status, what came with it) over a connection of its own; OSError."""
        with self.connect(seconds=seconds) as wire:
            wire.settimeout(seconds)
            wire.sendall(request)
            return _read(wire, time.monotonic() + seconds)


def _read(wire: socket.socket, ends: float) -> tuple[int, bytes]:
    said = b""
    while time.monotonic() < ends:
        piece = wire.recv(1 << 16)
        said += piece
        if not piece:
            break
    if not said.startswith(b"HTTP/1.1 "):
        raise ConnectionError("no answer")
    return int(said[9:12]), said
