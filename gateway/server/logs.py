"""Lines of the server's own libraries, in the form of all others; none of them quotes a request."""

from __future__ import annotations

from typing import Any

from contracts.telemetry import JsonLines

CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines, "service": "gateway"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "uvicorn": {"level": "INFO"},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
    },
}
