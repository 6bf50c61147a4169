"""Posting to addresses of strangers: checked when connecting, within one deadline, never redirected."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpcore

from workers.delivery.targets import resolve
from workers.settings import IpNetwork


class _Stream(httpcore.NetworkStream):
    """A connection whose every wait ends at the same deadline, however slowly the other side drips."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time for this delivery is over")
        return left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._inner.write(buffer, self._left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._left())
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _CheckedNetwork(httpcore.NetworkBackend):
    """Resolves a name once, checks every address, and connects to one of the checked."""

    def __init__(self, allow: Sequence[IpNetwork], deadline: float) -> None:
        self._inner = httpcore.SyncBackend()
        self._allow = allow
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve(host, port, allow=self._allow)
        left = min(timeout or 60, self._deadline - time.monotonic())
        inner = self._inner.connect_tcp(
            str(addresses[0]), port, max(left, 0.01), local_address, socket_options
        )
        return _Stream(inner, self._deadline)


def post(
    url: str, body: bytes, *, headers: Mapping[str, str], allow: Sequence[IpNetwork], seconds: float
) -> int:
    """Send it and return the status; the answer's body is not read.

    TargetRefused, OSError (no such name) or httpcore's exceptions when no status came within `seconds`.
    Host header and TLS name stay those of the URL; proxies of the environment are not used.
    """
    sent = [*headers.items(), ("content-length", str(len(body))), ("user-agent", "hippocamp")]
    network = _CheckedNetwork(allow, time.monotonic() + seconds)
    with (
        httpcore.ConnectionPool(network_backend=network, ssl_context=ssl.create_default_context()) as pool,
        pool.stream(
            "POST",
            url,
            headers=sent,
            content=body,
            extensions={"timeout": {"connect": seconds, "read": seconds, "write": seconds, "pool": seconds}},
        ) as response,
    ):
        return response.status
