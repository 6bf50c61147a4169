"""Raw sockets to a server that may end a connection at any moment."""

from __future__ import annotations

import contextlib
import socket


def send(wire: socket.socket, data: bytes) -> None:
    """Send all of it, or as much as the server took before it ended the connection.

    What the server did is then seen by reading: its answer, an end or a reset.
    """
    with contextlib.suppress(ConnectionError):
        wire.sendall(data)
