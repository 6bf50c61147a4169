"""/livez, /readyz and /metrics: answered while every request thread is held and every place is taken.

/livez needs nothing but the loop. The others are Flask's answers, made in threads of their own, ten times a
second at most and shared by all who ask meanwhile: a flood of them costs no more than that. None is older
than its question.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl

from gateway.metrics import count_request
from gateway.readiness import CHECKS
from gateway.schemas import Alive
from gateway.server.wsgi import Answer, Environ, Scope, environ_of

PATHS = frozenset({"/livez", "/readyz", "/metrics"})
PAUSE_SECONDS = 0.1
"""From the start of one making to the next."""
_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


Key = tuple[str, str]
"""Path and query."""


class HealthAnswers:
    """Of one process."""

    def __init__(self, call: Callable[[Environ], Answer]) -> None:
        self._call = call
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="health")
        self._next: dict[Key, asyncio.Future[Answer]] = {}
        self._last: dict[Key, tuple[float, asyncio.Future[Answer]]] = {}

    def takes(self, scope: Scope) -> bool:
        """Whether it answers this request; strange ones are the application's."""
        return scope["path"] in PATHS and scope["method"] == "GET" and _query_of(scope) is not None

    async def answer(self, scope: Scope) -> Answer:
        """The answer as it is now."""
        path, began = scope["path"], time.perf_counter()
        if path != "/livez":
            return await self._shared((path, _query_of(scope) or ""))
        answer = Answer(200, _JSON, Alive().model_dump_json().encode())
        count_request("GET", path, answer.status, time.perf_counter() - began)
        return answer

    async def _shared(self, key: Key) -> Answer:
        """With all who have asked since the last making began."""
        if key not in self._next:
            self._next[key] = asyncio.ensure_future(self._make(key))
        return await asyncio.shield(self._next[key])

    async def _make(self, key: Key) -> Answer:
        loop = asyncio.get_running_loop()
        began, last = self._last.get(key, (0.0, None))
        if last:
            await asyncio.wait([last])
        await asyncio.sleep(max(0.0, began + PAUSE_SECONDS - loop.time()))
        del self._next[key]
        making = loop.run_in_executor(self._threads, self._call, _environ(*key))
        self._last[key] = loop.time(), making
        return await making


def _query_of(scope: Scope) -> str | None:
    """`only=` and the names in order, "" for none; None for anything else."""
    text = scope["query_string"].decode("latin-1")
    if not text or scope["path"] != "/readyz":
        return ""
    given = parse_qsl(text, keep_blank_values=True)
    if len(given) != 1 or given[0][0] != "only":
        return None
    names = set(given[0][1].split(","))
    return f"only={','.join(sorted(names))}" if names <= set(CHECKS) else None


def _environ(path: str, query: str) -> Environ:
    """A request that carries nothing of its caller."""
    scope = {
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "http_version": "1.1",
        "headers": [(b"host", b"localhost")],
    }
    return environ_of(scope, io.BytesIO(), None)
