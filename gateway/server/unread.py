"""How much of what was answered a client has not taken, and whether it takes anything at all."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress
from dataclasses import dataclass

LEAST_RATE = 16 << 10
"""Bytes a second that a client must send or take in the long run: a gigabyte in 18 hours."""
UNREAD_SECONDS = 15.0


@dataclass
class UnreadAnswer:
    """Looked at every few seconds, of one connection. since: when the client last took its least."""

    left: int = 0
    since: float = 0.0

    def is_stuck(self, transport: asyncio.Transport, now: float) -> bool:
        """Whether a part of an answer lies here and the client took less than LEAST_RATE for too long."""
        left = _left(transport)
        if not left or left > self.left:
            self.left, self.since = left, now
            return False
        if self.left - left >= LEAST_RATE * (now - self.since):
            self.left, self.since = left, now
        return now - self.since >= UNREAD_SECONDS


def reset(transport: asyncio.Transport) -> None:
    """End the connection so that the kernel forgets the unread answer too."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _left(transport: asyncio.Transport) -> int:
    """Bytes in our buffer and, only when there are any, in the kernel's."""
    here = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if not here or sock is None:
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return here
    return here + int(struct.unpack("i", answer)[0])
