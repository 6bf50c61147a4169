"""`python -m deploy.exporter`: answers /metrics until it is told to stop, whether Redis is there or not."""

from __future__ import annotations

import logging
import signal
import threading

from prometheus_client import CollectorRegistry, start_http_server

from deploy.exporter.collector import StateCollector
from deploy.exporter.settings import Settings
from runtime.logs import configure_logging
from runtime.redis_connections import connect
from runtime.settings import SettingError

_log = logging.getLogger("hippocamp.exporter")


def main() -> None:
    """Serve; SettingError when the port is taken."""
    configure_logging("exporter")
    settings, stopped = Settings(), threading.Event()
    registry = CollectorRegistry()
    client = connect(settings.redis_url, timeout_seconds=settings.line_seconds, retries=1)
    registry.register(StateCollector(client, most_sites=settings.most_sites))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server, thread = start_http_server(settings.port, settings.bind, registry)
    except OSError as error:
        raise SettingError(f"HIPPOCAMP_EXPORTER_PORT={settings.port}: {error.strerror or error}") from None
    _log.info("exporter.serving", extra={"port": settings.port})
    stopped.wait()
    server.shutdown()
    thread.join(5)


if __name__ == "__main__":
    main()
