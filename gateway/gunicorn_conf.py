"""gunicorn's settings; start with `gunicorn -c gateway/gunicorn_conf.py 'gateway.app:create_app()'`."""

from __future__ import annotations

import os
import threading
from typing import Any

from prometheus_client import multiprocess

from contracts.connections import connect
from contracts.settings import Shared, env_count, env_text
from contracts.telemetry import JsonLines
from gateway import audit_intake
from gateway.auditing import audit_log
from gateway.auth import announce_mode, refuse_open_network
from gateway.resources import resources

bind = env_text("BIND", "127.0.0.1:8080")
workers = env_count("GATEWAY_WORKERS", 2, least=1, most=64)
threads = env_count("GATEWAY_THREADS", 16, least=1, most=256)
worker_class = "gateway.bounded_worker.BoundedWorker"
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112  heartbeats must not wait for a disk
timeout = 60
graceful_timeout = 30
keepalive = (
    75  # longer than clients and proxies keep a connection, so that none is closed as they use it again
)
limit_request_line = 4094
limit_request_fields = 64
accesslog = None
control_socket_disable = True
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines, "service": "gateway"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["stderr"],
            "propagate": False,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "WARNING",
            "handlers": [],
            "propagate": False,
            "qualname": "gunicorn.access",
        },
    },
}


def on_starting(server: Any) -> None:
    """Refuse to serve a network without keys; say when none are needed; tell the workers where we listen."""
    where = ",".join(server.cfg.settings["bind"].get())
    os.environ["HIPPOCAMP_BIND"] = where
    client = connect(Shared().redis_url, timeout_seconds=2, retries=0)
    refuse_open_network(where, client)
    announce_mode(where, client)


def post_worker_init(worker: Any) -> None:
    """The process that reads uploads is there before the first of them; operators' deeds are taken over."""
    with worker.wsgi.app_context():
        threading.Thread(target=resources().children.start, daemon=True).start()
        audit_intake.start(resources().client, audit_log())


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the live gauges of a gateway process that ended."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
