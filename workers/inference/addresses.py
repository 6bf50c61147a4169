"""Where the replicas behind a name are right now: one address each, as a headless service tells."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit


def addresses_of(urls: Sequence[str]) -> list[str]:
    """A url whose name has several IPv4 addresses becomes one url an address; all others stay."""
    return [address for url in urls for address in _addresses(url)]


def _addresses(url: str) -> list[str]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    try:
        found = socket.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        return [url]  # asking it says what is wrong
    numbers = sorted({str(place[4][0]) for place in found})
    if parts.scheme != "http" or len(numbers) < 2:
        return [url]
    return [parts._replace(netloc=f"{number}:{port}").geturl() for number in numbers]
