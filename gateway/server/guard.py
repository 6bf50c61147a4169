"""Limits of a connection, in a subclass of uvicorn's protocol; uvicorn has none of these by itself.

A request's head must come in time and be small. A connection without a request may be silent for so long, an
answer may lie unread for so long, and what is left of a refused body is read for so long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from contracts.errors import RequestError
from gateway.http.errors import HeadTooLarge, Malformed, TooSlow
from gateway.server.connections import Connections, count_closed
from gateway.server.phase import Phase
from gateway.server.problem_answers import problem_bytes
from gateway.server.unread import UnreadAnswer, reset

HEAD_SECONDS = 10.0
DRAIN_SECONDS = 10.0
LOOK_SECONDS = 2.5
HEAD_BYTES = 16 << 10
HEAD_FIELDS = 64
DRAIN_BYTES = 16 << 20
MOST_PIPELINED = 32
STATE, UPGRADE = "guard", "upgrade"
"""Under this name a request's scope["state"] holds its connection, whatever a proxy says of addresses."""
CONNECTIONS, OPS_CONNECTIONS, OPS_PORTS = "connections", "ops_connections", "ops_ports"
"""What the application's start leaves in the server's state."""

_MOST_SECONDS = {Phase.HEAD: HEAD_SECONDS, Phase.DRAIN: DRAIN_SECONDS, Phase.OVER: 2.0}


class _Refused(Exception):  # noqa: N818  named for what happened
    """Ends the parser's work from within a callback."""


class Guard(HttpToolsProtocol):
    """One connection. `gone` is set when it has ended."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._state = app_state
        self.gone, self._leaving = asyncio.Event(), False
        self._on_ending: set[Callable[[], None]] = set()
        self._phase, self._since = Phase.HEAD, self.loop.time()
        self._heading = self._body_open = self._admitted = False
        self._head_bytes = self._head_fields = self._drained = self._owed = 0
        self._refusal: type[RequestError] = Malformed
        self._unread = UnreadAnswer()
        self.address = ""

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, or end the one that has been idle for longest, or this one."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._registry: Connections = self._state[self._kind(transport)]
        self._timer = self.loop.call_later(LOOK_SECONDS, self._look)
        if self._registry.enter(self):
            self._rest(Phase.HEAD)
        else:
            self.abort("crowded")

    def data_received(self, data: bytes) -> None:
        """Count what no request has asked for; hand the rest to the parser."""
        if self._phase is Phase.OVER:
            self._drain(len(data))
            return
        if self._phase is Phase.IDLE:
            self._rest(Phase.HEAD)
        if self._phase is Phase.HEAD:
            self._head_bytes += len(data)
        elif self._phase is Phase.DRAIN:
            self._drain(len(data))
        super().data_received(data)
        if self._phase is Phase.HEAD and self._head_bytes > HEAD_BYTES:
            self._refuse(HeadTooLarge)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._timer.cancel()
        self._registry.leave(self)
        self._phase = Phase.OVER
        super().connection_lost(exc)
        self.gone.set()
        self._end_what_waits()

    def shutdown(self) -> None:
        """The server stops: streams and waits end here, and their clients ask another process."""
        self._leaving = True
        self._end_what_waits()
        super().shutdown()

    def abort(self, reason: str) -> None:
        """End the connection at once, unread answers with it."""
        if self._phase is not Phase.OVER:
            count_closed(reason)
        self._phase = Phase.OVER
        reset(self.transport)

    # --- the parser's side ---

    def on_message_begin(self) -> None:
        """A head begins; what the front knows the connection by goes with it."""
        super().on_message_begin()
        self._heading, self._head_fields = True, 0
        self.scope["state"][STATE] = self

    def on_url(self, url: bytes) -> None:
        """Refuse an address that is larger than a head may be."""
        if len(self.url) + len(url) > HEAD_BYTES:
            self._stop(HeadTooLarge)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse too many fields; drop those behind a chunked body, for a request is judged by its head."""
        self._head_fields += 1
        if self._head_fields > HEAD_FIELDS or len(name) + len(value) > HEAD_BYTES:
            self._stop(HeadTooLarge)
        if self._heading:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request is served from here on; until it is whole or admitted it may have to make room."""
        if self._owed >= MOST_PIPELINED:
            self._stop(Malformed)
        self.scope["state"][UPGRADE] = self.parser.should_upgrade()
        super().on_headers_complete()
        self._owed += 1
        self._heading, self._body_open, self._admitted = False, True, False
        self._phase, self._head_bytes = Phase.SERVED, 0
        self._count_work()

    def on_message_complete(self) -> None:
        """All of the body has come."""
        self._body_open = False
        super().on_message_complete()
        if self._phase is Phase.DRAIN:
            self._rest(Phase.IDLE)
        self._count_work()

    def on_response_complete(self) -> None:
        """The answer was written; the client may ask again, after the rest of a body that nobody wants."""
        self._owed -= 1
        if not self._owed and self._phase is not Phase.OVER:
            left = Phase.DRAIN if self._body_open else Phase.IDLE
            self._rest(Phase.HEAD if self._heading else left)
        self._count_work()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no request: a problem without any of them, instead of uvicorn's plain text."""
        del msg
        self._refuse(self._refusal)

    # --- what follows from both ---

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be answered here."""
        return self._phase is Phase.OVER

    def admit(self) -> None:
        """The body of the request that is being served may come: its caller is known and has leave."""
        self._admitted = self._owed == 1
        self._count_work()

    def on_ending(self, callback: Callable[[], None]) -> None:
        """Call back when the connection ends or the server stops; at once when one of them has happened."""
        self._on_ending.add(callback)
        if self._leaving or self.gone.is_set():
            callback()

    def off_ending(self, callback: Callable[[], None]) -> None:
        """The callback is not wanted any more."""
        self._on_ending.discard(callback)

    def _end_what_waits(self) -> None:
        for callback in list(self._on_ending):
            callback()

    def _rest(self, phase: Phase) -> None:
        self._phase, self._since = phase, self.loop.time()
        self._head_bytes = self._drained = 0
        self._registry.rest(self)

    def _count_work(self) -> None:
        """Of requests that are owed an answer only the last can be one whose body has not come."""
        if self._phase is not Phase.SERVED:
            return
        if self._owed > 1 or self._admitted or not self._body_open:
            self._registry.work(self)
        else:
            self._registry.rest(self)

    def _stop(self, kind: type[RequestError]) -> NoReturn:
        self._refusal = kind
        raise _Refused

    def _drain(self, size: int) -> None:
        self._drained += size
        if self._drained > DRAIN_BYTES:
            self.abort("undrained")

    def _refuse(self, kind: type[RequestError]) -> None:
        """Answer with a problem and close, unless an answer is on its way already."""
        if self._phase is Phase.OVER:
            return
        if self._owed > 1 or (self._owed and self.cycle.response_started):
            self.abort(kind.code)
            return
        self._rest(Phase.OVER)
        count_closed(kind.code)
        self.transport.write(problem_bytes(kind))
        if self.transport.can_write_eof():
            self.transport.write_eof()  # so that the client reads it, whatever it is still sending

    def _look(self) -> None:
        """One timer a connection, which costs a request nothing."""
        now = self.loop.time()
        self._timer = self.loop.call_later(LOOK_SECONDS, self._look)
        if self._unread.is_stuck(self.transport, now):
            self.abort("unread")
        elif now - self._since >= _MOST_SECONDS.get(self._phase, float("inf")):
            self._run_out()

    def _run_out(self) -> None:
        if self._phase is Phase.HEAD and self._head_bytes:
            self._refuse(TooSlow)
        else:
            self.abort("silent" if self._phase is Phase.HEAD else "undrained")

    def _kind(self, transport: asyncio.Transport) -> str:
        own = transport.get_extra_info("sockname")
        is_ops = isinstance(own, tuple) and own[1] in self._state[OPS_PORTS]
        return OPS_CONNECTIONS if is_ops else CONNECTIONS
