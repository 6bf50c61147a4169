"""Where the service is and how to reach it: address, key, time limits, proxies."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import httpx

from client.exchange import Call, ServiceReply
from client.version import VERSION

DEFAULT_URL = "http://127.0.0.1:8000"


_AGENT = f"hippocamp-client/{VERSION}"


@dataclass(frozen=True)
class Connection:
    """Address and key; what is not given comes from HIPPOCAMP_URL and HIPPOCAMP_API_KEY.

    timeout_seconds limits connecting and every silence of the service, not a whole upload.
    HTTP_PROXY, HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE are honoured.
    """

    url: str = ""
    key: str = field(default="", repr=False)
    timeout_seconds: float = 60.0

    def options(self) -> dict[str, Any]:
        """Arguments of httpx.Client and httpx.AsyncClient; redirects are not followed: the key stays here."""
        headers = {"User-Agent": _AGENT}
        if key := self.key or os.environ.get("HIPPOCAMP_API_KEY", ""):
            headers["Authorization"] = f"Bearer {key}"
        return {
            "base_url": self.address,
            "headers": headers,
            "timeout": httpx.Timeout(self.timeout_seconds, connect=min(10.0, self.timeout_seconds)),
            "follow_redirects": False,
            "trust_env": True,
        }

    @property
    def address(self) -> str:
        """The service's base URL; ValueError when it is none."""
        url = self.url or os.environ.get("HIPPOCAMP_URL", "") or DEFAULT_URL
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no address; it begins with https:// or http://")
        return url.rstrip("/")


def request_parts(call: Call) -> dict[str, Any]:
    """Arguments of httpx's build_request, but for a streamed body."""
    headers = dict(call.headers)
    if call.body is not None:
        headers["Content-Length"] = str(call.body.size)
    parts: dict[str, Any] = {"params": dict(call.query), "headers": headers}
    return parts if call.data is None else parts | {"json": call.data}


def answer_of(response: httpx.Response) -> ServiceReply:
    """What httpx gave, as a conversation takes it."""
    return ServiceReply(response.status_code, response.headers, response.content)


def no_answer(error: httpx.TransportError) -> ServiceReply:
    """A broken connection, as a conversation takes it."""
    return ServiceReply(0, broken=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
