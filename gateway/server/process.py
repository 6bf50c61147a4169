"""One process of the server: what it starts with, and what it leaves behind in order."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.config import STARTUP_FAILURE
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gateway.access import audit_intake
from gateway.access.auditing import audit_log
from gateway.app import create_app
from gateway.dicomweb import closing
from gateway.resources import resources
from gateway.server.connections import Connections
from gateway.server.front import Front
from gateway.server.guard import CONNECTIONS, OPS_CONNECTIONS, OPS_PORTS
from gateway.server.settings import ServerSettings
from gateway.server.watch import Watch
from runtime.settings import SettingError

_log = logging.getLogger("hippocamp.gateway")

_SWITCH_SECONDS = 0.001
"""After this long a thread that computes lets the event loop run; Python's default is five times that."""
_OPS_CONNECTIONS = 64
_UNIX = "unix"
"""Stands for the peer of a Unix socket, which has no address."""

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def create() -> Asgi:
    """The ASGI application, as uvicorn calls for it; a setting that makes no sense stops all processes."""
    try:
        return Process(ServerSettings())
    except SettingError as error:
        _log.error("server.not_started", extra={"why": str(error)})
        raise SystemExit(STARTUP_FAILURE) from error


class Process:
    """Dispatches the server's own events and requests."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._app = create_app()
        with self._app.app_context():
            self._to = resources()
        self._front = Front(self._app, self._to, settings)
        trusted = [*str(settings.trusted_proxies).split(","), _UNIX]
        self._behind_proxies = ProxyHeadersMiddleware(self._front, trusted)  # type: ignore[arg-type]
        self._watch = Watch()
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._live(scope["state"], receive, send)
        elif scope["type"] == "http":
            scope["client"] = scope.get("client") or (_UNIX, 0)
            await self._behind_proxies(scope, receive, send)

    async def _live(self, state: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        self._start(state)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    def _start(self, state: dict[str, Any]) -> None:
        """What reads uploads is there before the first of them; operators' deeds are taken over; what
        is collected becomes jobs.
        """
        most, exempt = self._settings.connections_within_limits(), self._settings.trusted_proxies.holds
        state[CONNECTIONS] = Connections(most, self._settings.connections_each, exempt=exempt)
        state[OPS_CONNECTIONS] = Connections(_OPS_CONNECTIONS, _OPS_CONNECTIONS, exempt=exempt)
        state[OPS_PORTS] = self._settings.ops_ports()
        self._tasks = [asyncio.create_task(self._front.hub.run()), asyncio.create_task(self._watch.run())]
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._watch.start()
        threading.Thread(target=self._to.sandbox.start, daemon=True).start()
        with self._app.app_context():
            audit_intake.start(self._to.client, audit_log())
        closing.start(self._to)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._front.queue.close()
        await asyncio.get_running_loop().run_in_executor(None, self._to.sandbox.stop)
