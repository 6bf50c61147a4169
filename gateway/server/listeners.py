"""The sockets that the server's processes share."""

from __future__ import annotations

import socket
from pathlib import Path

from runtime.settings import SettingError

_BACKLOG = 2048
_SEND_BUFFER = 128 << 10
"""Bytes of an unread answer that the kernel holds for one client (it doubles this)."""


def listen(bind: str) -> list[socket.socket]:
    """One for each address of `host:port,unix:/path`; SettingError when it cannot be had."""
    return [_open(part.strip()) for part in bind.split(",") if part.strip()]


def _open(address: str) -> socket.socket:
    try:
        if address.startswith("unix:"):
            return _unix(address.removeprefix("unix:"))
        host, _, port = address.rpartition(":")
        return _tcp(host.strip("[]"), int(port))
    except (OSError, ValueError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SettingError(
            f"HIPPOCAMP_BIND: {address!r} cannot be listened on ({why}); host:port or unix:/path is wanted"
        ) from None


def _tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only where it is.
    one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return _listening(one, (host, port))


def _unix(path: str) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    return _listening(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)


def _listening(one: socket.socket, address: tuple[str, int] | str) -> socket.socket:
    try:
        one.bind(address)
        one.listen(_BACKLOG)
    except OSError:
        one.close()
        raise
    one.set_inheritable(True)
    return one
