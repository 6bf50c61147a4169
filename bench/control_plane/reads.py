"""Polls, cache hits and server-sent events a second and core, against bare Flask on the same server."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bench.accounting import cpu_by_service
from bench.control_plane.system import System
from bench.site import Headers
from bench.volumes import tiny
from deploy.local import services
from deploy.local.services import Service
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem

_SAME = 987_654_321
"""The volume that is sent again and again."""


@dataclass(frozen=True)
class ReadCost:
    """Requests per CPU second of the gateway's processes, and of the bare server's."""

    name: str
    rate: float
    bare_rate: float

    @property
    def ratio(self) -> float:
        """Gateway over bare Flask."""
        return self.rate / self.bare_rate


class Caller:
    """One keep-alive connection, every request of which has these headers."""

    def __init__(self, address: str, headers: Headers) -> None:
        self._http, self._headers = http.client.HTTPConnection(address, timeout=30), headers

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The answer's body; SystemExit unless it is 200."""
        headers = {**self._headers, **({"Content-Type": "application/octet-stream"} if body else {})}
        self._http.request(method, path, body=body, headers=headers)
        answer = self._http.getresponse()
        said = answer.read()
        if answer.status not in {200, 202}:
            raise SystemExit(f"{method} {path} was answered {answer.status}: {said[:200]!r}")
        return said


def rate(stack: LocalSystem, headers: Headers, count: int, *request: str | bytes) -> float:
    """`count` equal requests, one after the other: how many a CPU second of the service `gateway`."""
    caller = Caller(stack.settings.gateway_url.removeprefix("http://"), headers)
    for _ in range(max(20, count // 10)):
        caller.call(*request)  # type: ignore[arg-type]
    before = cpu_by_service(stack)["gateway"]
    for _ in range(count):
        caller.call(*request)  # type: ignore[arg-type]
    return count / (cpu_by_service(stack)["gateway"] - before)


def gateway(settings: LocalSettings) -> Service:
    """The bare routes under uvicorn, with as many processes, by its own adapter for WSGI."""
    real = services.gateway(settings)
    command = [
        sys.executable, "-m", "uvicorn", "--interface=wsgi", "--factory", "--workers=2", "--http=httptools",
        "--loop=uvloop", "--no-access-log", "--log-level=warning", f"--port={settings.ports.gateway}",
        f"{__package__}.bare_flask:create_app",
    ]  # fmt: skip
    return replace(real, command=command)


@contextmanager
def bare_server(system: System) -> Iterator[LocalSystem]:
    """The bare routes beside the system, with its Redis."""
    settings = system.stack.settings.beside(system.folder / "bare")
    (settings.folder / "logs").mkdir(parents=True)
    stack = LocalSystem(settings, [gateway])
    stack._start(gateway(settings))
    try:
        yield stack
    finally:
        stack.down()


def costs(system: System, job_id: str, count: int) -> list[ReadCost]:
    """All three kinds; `job_id` names a job that has succeeded."""
    path = f"/v1/jobs/{job_id}"
    ours = {
        "poll": ("GET", path),
        "cache hit": ("POST", "/v1/jobs", tiny(_SAME)),
        "event": ("GET", f"{path}/events"),
    }
    bare = {"poll": ("GET", "/poll"), "cache hit": ("POST", "/hit", tiny(_SAME)), "event": ("GET", "/event")}
    found = []
    with bare_server(system) as other:
        for name, request in ours.items():
            mine = rate(system.stack, system.headers, count, *request)
            theirs = rate(other, system.headers, count, *bare[name])
            found.append(ReadCost(name, mine, theirs))
    return found
