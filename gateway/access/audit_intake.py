"""Takes what operators' commands left for the audit log over into it, every few seconds."""

from __future__ import annotations

import logging
import threading
import time

import redis

from contracts.errors import StoreUnavailable
from jobstore.operator_audit import take_over
from runtime.audit import AuditLog
from runtime.redis_failures import about

_log = logging.getLogger("hippocamp.gateway")

EVERY_SECONDS = 2.0


def start(client: redis.Redis, log: AuditLog) -> None:
    """As long as this process lives; while Redis or the log is away, the events wait."""
    threading.Thread(target=_go_on, args=(client, log), name="audit-intake", daemon=True).start()


def _go_on(client: redis.Redis, log: AuditLog) -> None:
    while True:
        time.sleep(EVERY_SECONDS)
        try:
            take_over(client, log)
        except (redis.RedisError, StoreUnavailable) as error:
            _log.warning("audit.not_taken_over", extra=about(error))
