"""The gateway's gunicorn settings for an application that is not the gateway."""

from __future__ import annotations

from gateway.gunicorn_conf import (  # noqa: F401  gunicorn reads them by name
    accesslog,
    control_socket_disable,
    graceful_timeout,
    keepalive,
    logconfig_dict,
    threads,
    timeout,
    worker_class,
    worker_tmp_dir,
    workers,
)
