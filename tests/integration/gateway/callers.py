"""Sites with keys, and HTTP by hand against a running gateway."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import Any

import httpx
import redis

from jobstore import api_keys, sites
from jobstore.api_keys import Scope
from tests.integration.gateway.live import Running
from tests.support.wires import send

RAW = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Caller:
    """A site's key, on one gateway."""

    gateway: Running
    site: str
    key: str

    @classmethod
    def of(cls, gateway: Running, client: redis.Redis, site: str, **about: Any) -> Caller:
        """A new site with the quotas that a new site has, and a key for everything."""
        sites.save(client, sites.Site(name=site, **about))
        key, _ = api_keys.issue(client, site, frozenset(Scope), now_ms=int(time.time() * 1000))
        return cls(gateway, site, key)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def http(self, seconds: float = 60) -> httpx.Client:
        return httpx.Client(base_url=self.gateway.url, headers=self.headers, trust_env=False, timeout=seconds)

    def head(self, method: str, path: str, *fields: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.key}", *fields]
        return "\r\n".join([*lines, "", ""]).encode()

    def connect(self, *, window: int = 0) -> socket.socket:
        one = socket.socket()
        if window:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        one.settimeout(30)
        one.connect(("127.0.0.1", self.gateway.port))
        return one

    def submit(self, body: bytes) -> str:
        """The job's id."""
        with self.http() as http:
            answer = http.post("/v1/jobs", content=body, headers=RAW)
        assert answer.status_code in {200, 202}, answer.text
        return str(answer.json()["id"])

    def follow(self, job: str, last: str = "") -> socket.socket:
        """An open event stream."""
        wire = self.connect()
        send(wire, self.head("GET", f"/v1/jobs/{job}/events", *([f"Last-Event-ID: {last}"] if last else [])))
        return wire


def read_until(wire: socket.socket, mark: bytes, seconds: float = 20) -> bytes:
    """What comes up to and with these bytes, or until the end."""
    said, ends = b"", time.monotonic() + seconds
    with contextlib.suppress(ConnectionError):
        while mark not in said and time.monotonic() < ends:
            piece = wire.recv(1 << 16)
            if not piece:
                break
            said += piece
    return said


def read_all(wire: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    return read_until(wire, b"\0no such bytes\0")


def events(text: bytes) -> list[tuple[str, dict[str, Any]]]:
    """(id, job) of each event in a stream's bytes."""
    found = []
    for block in text.decode().split("\nid: ")[1:]:
        name, _, rest = block.partition("\n")
        found.append((name.strip(), json.loads(rest.partition("data: ")[2].partition("\n")[0])))
    return found
