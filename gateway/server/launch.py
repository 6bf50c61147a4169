"""Starts the gateway's processes, watches them, and stops them in order.

SIGTERM ends it once the requests on their way are answered, SIGHUP replaces its processes one by one.
"""

from __future__ import annotations

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from gateway.server.listeners import listen
from gateway.server.logs import CONFIG
from gateway.server.settings import ServerSettings
from runtime.redis_connections import connect
from runtime.settings import Shared

_STOP_SECONDS = 30
_HEALTH_SECONDS = 10
"""A process whose interpreter does not answer for this long is replaced. The supervisor waits as long for one
that died while it was asked, so this is also the longest that its place stays empty."""


def configuration(settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn runs each process."""
    return uvicorn.Config(
        "gateway.server.process:create",
        factory=True,
        http="gateway.server.guard:Guard",
        loop="uvloop",
        ws="none",
        lifespan="on",
        interface="asgi3",
        workers=settings.workers,
        log_config=CONFIG,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application sees to them, for Unix sockets too
        timeout_keep_alive=75,  # longer than clients and proxies keep a connection they may use again
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_worker_healthcheck=_HEALTH_SECONDS,
    )


def main() -> int:
    """Refuse settings that make no sense and a network without keys; then serve until told to stop."""
    settings = ServerSettings()
    config = configuration(settings)
    _refuse_open_network(settings.bind)
    sockets = [*listen(settings.bind), *listen(settings.ops_bind)]
    supervisor = Multiprocess(config, sockets)
    supervisor.run()
    return STARTUP_FAILURE if any(one.exitcode == STARTUP_FAILURE for one in supervisor.processes) else 0


def _refuse_open_network(bind: str) -> None:
    from gateway.access.auth import announce_mode, refuse_open_network

    client = connect(Shared().redis_url, timeout_seconds=2, retries=0)
    refuse_open_network(bind, client)
    announce_mode(bind, client)
    client.close()
