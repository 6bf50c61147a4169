"""Lines of the server's own libraries, in the form of all others; none of them quotes a request."""

from __future__ import annotations

import logging
from typing import Any

from runtime.logs import JsonLines

_COUNTED = (
    "Invalid HTTP request", "Unsupported upgrade request", "No supported WebSocket library",
    "ASGI callable returned without completing response",
)  # fmt: skip
"""What anybody could fill a disk with; `hippocamp_connections_closed_total` has their number. The last is a
reset while several requests were on their way: uvicorn marks only the latest of them as disconnected. An
answer that the front itself leaves incomplete is logged there."""


class WithoutRequests(logging.Filter):
    """Keeps of an error its class: a traceback of a parser quotes the bytes that it could not parse."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written at all."""
        if record.exc_info and record.exc_info[0]:
            record.error = record.exc_info[0].__name__
            record.exc_info = record.exc_text = None
        record.msg = str(record.msg).partition("\n")[0]
        return not record.msg.startswith(_COUNTED)


CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines, "service": "gateway"}},
    "filters": {"without_requests": {"()": WithoutRequests}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json"},
        "server": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "filters": ["without_requests"],
        },
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "asyncio": {"level": "WARNING", "handlers": ["server"], "propagate": False},
        "uvicorn.error": {"level": "INFO", "handlers": ["server"], "propagate": False},
        "uvicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
    },
}
