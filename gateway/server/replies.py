"""Sending an answer to a client that may be slow, within a budget of time that grows with what it took."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from contracts.errors import HippocampError
from gateway.server.guard import Guard
from gateway.server.problem_answers import problem_answer
from gateway.server.unread import LEAST_RATE
from gateway.server.wsgi import HttpAnswer

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

GRACE_SECONDS = 15.0
_PIECE = 1 << 16


class Reply:
    """The answer to one request; after the connection has ended every call does nothing."""

    def __init__(self, send: Send, guard: Guard, *, last: bool) -> None:
        self._send, self._guard, self._last = send, guard, last
        self._sent, self._waited = 0, 0.0
        self.started = False

    async def whole(self, answer: HttpAnswer) -> None:
        """Status, headers and body."""
        headers = answer.headers
        if not any(name == b"content-length" for name, _ in headers) and answer.status not in {204, 304}:
            headers = [*headers, (b"content-length", str(len(answer.body)).encode())]
        await self.begin(answer.status, headers)
        view = memoryview(answer.body)
        for at in range(0, len(view), _PIECE):
            await self.piece(bytes(view[at : at + _PIECE]), more=at + _PIECE < len(view))
        if not len(view):
            await self.piece(b"", more=False)

    async def problem(self, error: HippocampError) -> None:
        """The error as application/problem+json."""
        status, headers, body = problem_answer(error)
        await self.whole(HttpAnswer(status, headers, body))

    async def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Status and headers."""
        self.started = True
        closing = [(b"connection", b"close")] if self._last else []
        await self._within({"type": "http.response.start", "status": status, "headers": [*headers, *closing]})

    async def piece(self, data: bytes, *, more: bool = True) -> None:
        """A part of the body."""
        await self._within({"type": "http.response.body", "body": data, "more_body": more})
        self._sent += len(data)

    async def _within(self, message: MutableMapping[str, Any]) -> None:
        if self._guard.is_over:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(max(0, GRACE_SECONDS + self._sent / LEAST_RATE - self._waited)):
                await self._send(message)
        except TimeoutError:
            self._guard.abort("unread")
        except RuntimeError:
            if not (self._guard.is_over or self._guard.transport.is_closing()):
                raise  # an answer that breaks HTTP is a fault of ours
        self._waited += loop.time() - began
