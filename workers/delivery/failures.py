"""Why an attempt failed: as an exception, and in the words that the site may read."""

from __future__ import annotations

import socket
import ssl

import httpcore

from workers.delivery.targets import TargetRefused


class ReceiverRefused(Exception):  # noqa: N818  named for what happened, as in contracts.errors
    """The receiver answered with something else than 2xx."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


DELIVERY_FAILURES: tuple[type[Exception], ...] = (
    ReceiverRefused,
    TargetRefused,
    OSError,
    ValueError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)
"""What an attempt may end in; anything else is a bug of ours."""


def reason_for_site(error: Exception) -> str:
    """What the site may know of a failed attempt: our network's addresses and libraries are not among it."""
    if isinstance(error, ReceiverRefused):
        return str(error)
    return next((text for kind, text in _REASONS if isinstance(error, kind)), "The delivery failed")


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (TargetRefused, "The name leads to an address that is not public; an operator can allow its network"),
    (socket.gaierror, "The name of the receiver is not known; look at the endpoint's address"),
    (httpcore.TimeoutException, "The receiver did not answer in time"),
    (httpcore.UnsupportedProtocol, "The endpoint's address is neither http nor https"),
    (httpcore.ProtocolError, "The receiver's answer is no HTTP"),
    (ssl.SSLError, "The receiver's certificate was not accepted, or it speaks no TLS"),
    (httpcore.NetworkError, "The receiver could not be reached, or closed the connection"),
    (OSError, "The receiver could not be reached, or closed the connection"),
    (ValueError, "The endpoint's address makes no sense"),
)
