"""How every Celery process of ours logs, and how it stops: in bounded time, handing back what it holds."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any, NoReturn

from billiard import active_children
from billiard.util import get_logger as pool_logger
from celery import signals

from jobstore.leases import hand_back
from runtime import tracing
from runtime.logs import configure_logging
from runtime.metrics import serve_from_workers

_log = logging.getLogger("hippocamp.worker")
_QUIET = ("celery.worker.strategy", "celery.app.trace", "httpx")
"""Loggers that write a line or two per wake-up."""


def configure_worker(service: str, *, stop_seconds: float) -> None:
    """Set logging, and a stop that ends within about `stop_seconds`, for the worker this process becomes.

    1. SIGTERM makes Celery take no new wake-ups and wait for the running ones, however long they run.
    2. After `stop_seconds` we send SIGTERM to the children that still work.
    3. A child that gets it hands its claims back and leaves. (If it cannot, its lease runs out.)
    """

    def set_up_logging(**_: Any) -> None:
        logging.captureWarnings(capture=True)
        configure_logging(service)
        pool = pool_logger()
        pool.handlers.clear()
        pool.setLevel(logging.WARNING)
        pool.propagate = True  # by itself it writes plain text: which child died of what
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)

    def stop_in_time(**_: Any) -> None:
        timer = threading.Timer(stop_seconds, _terminate_children)
        timer.daemon = True
        timer.start()

    tracing.check()

    serve_from_workers()
    signals.celeryd_init.connect(set_up_logging, weak=False)  # before Celery warns of anything
    signals.setup_logging.connect(set_up_logging, weak=False)
    signals.worker_process_init.connect(_remember_child, weak=False)
    signals.worker_process_shutdown.connect(_send_spans, weak=False)
    signals.task_prerun.connect(_leave_on_sigterm, weak=False)
    signals.worker_shutting_down.connect(stop_in_time, weak=False)


_child_pid: list[int] = []


def _remember_child(**_: Any) -> None:
    _child_pid[:] = [os.getpid()]


def _send_spans(**_: Any) -> None:
    tracing.flush()


def _leave_on_sigterm(**_: Any) -> None:
    """At the start of a task, because the pool sets its own handler after worker_process_init."""
    if _child_pid == [os.getpid()]:
        signal.signal(signal.SIGTERM, _leave)


def _leave(*_: object) -> NoReturn:
    try:
        hand_back("worker stopped")
    finally:
        os._exit(0)  # the main thread may be anywhere, so nothing may unwind and commit


def _terminate_children() -> None:
    for child in active_children():
        if child.pid is None:
            continue
        _log.warning("worker.child_told_to_leave", extra={"pid": child.pid})
        os.kill(child.pid, signal.SIGTERM)
