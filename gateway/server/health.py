"""/livez, /readyz and /metrics: answered while every request thread is held and every place is taken.

/livez needs nothing but the loop. For the others each dependency is asked, and the figures are made, in
threads of their own, ten times a second at most and shared by all who ask meanwhile, whichever dependencies
they name: a flood of questions costs no more than that, and a slow dependency delays nobody who does not ask
for it. No answer is older than its question.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from gateway.http.schemas import Alive, Dependency, Readiness
from gateway.monitoring.metrics import count_request
from gateway.monitoring.readiness import CHECKS
from gateway.server.wsgi import Environ, HttpAnswer, Scope, environ_of

PATHS = frozenset({"/livez", "/readyz", "/metrics"})
PAUSE_SECONDS = 0.1
"""From the start of one making to the next."""
_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class HealthAnswers:
    """Of one process. ask: one dependency by its name."""

    def __init__(self, call: Callable[[Environ], HttpAnswer], ask: Callable[[str], Dependency]) -> None:
        self._call, self._ask = call, ask
        self._threads = ThreadPoolExecutor(len(CHECKS) + 1, thread_name_prefix="health")
        self._next: dict[str, asyncio.Future[Any]] = {}
        self._last: dict[str, tuple[float, asyncio.Future[Any]]] = {}

    def takes(self, scope: Scope) -> bool:
        """Whether it answers this request; strange ones are the application's."""
        return scope["path"] in PATHS and scope["method"] == "GET" and _names(scope) is not None

    async def answer(self, scope: Scope) -> HttpAnswer:
        """The answer as it is now."""
        path, began = scope["path"], time.perf_counter()
        if path == "/metrics":
            made: HttpAnswer = await self._shared(path, partial(self._call, _environ(path)))
            return made
        status, body = 200, Alive().model_dump_json()
        if path == "/readyz":
            found = await self._readiness(_names(scope) or [])
            status, body = 200 if found.ready else 503, found.model_dump_json(by_alias=True)
        count_request("GET", path, status, time.perf_counter() - began)
        return HttpAnswer(status, _JSON, body.encode())

    async def _readiness(self, names: list[str]) -> Readiness:
        asked = [self._shared(name, partial(self._ask, name)) for name in names]
        found: dict[str, Dependency] = dict(zip(names, await asyncio.gather(*asked), strict=True))
        return Readiness(ready=all(one.ok for one in found.values()), dependencies=found)

    async def _shared(self, key: str, make: Callable[[], Any]) -> Any:
        """With all who have asked since the last making began."""
        if key not in self._next:
            self._next[key] = asyncio.ensure_future(self._make(key, make))
        return await asyncio.shield(self._next[key])

    async def _make(self, key: str, make: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        began, last = self._last.get(key, (0.0, None))
        if last:
            await asyncio.wait([last])
        await asyncio.sleep(max(0.0, began + PAUSE_SECONDS - loop.time()))
        del self._next[key]
        making = loop.run_in_executor(self._threads, make)
        self._last[key] = loop.time(), making
        return await making


def _names(scope: Scope) -> list[str] | None:
    """The dependencies that are asked for, in their own order; None when the query is none of ours."""
    text = scope["query_string"].decode("latin-1")
    if not text or scope["path"] != "/readyz":
        return list(CHECKS)
    given = parse_qsl(text, keep_blank_values=True)
    if len(given) != 1 or given[0][0] != "only":
        return None
    names = set(given[0][1].split(","))
    return [name for name in CHECKS if name in names] if names <= set(CHECKS) else None


def _environ(path: str) -> Environ:
    """A request that carries nothing of its caller."""
    scope = {
        "method": "GET",
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"host", b"localhost")],
    }
    return environ_of(scope, io.BytesIO(), None)
