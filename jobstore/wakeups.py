"""Wake-ups: Celery tasks without a job id that tell a stage's workers to look at the job store."""

from __future__ import annotations

import logging
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from contracts.states import Stage
from runtime.redis_connections import broker

TASK = {stage: f"{stage}.wake" for stage in Stage}
"""Stage -> Celery task name; the queue is named like the stage."""

MAINTAIN_TASK = "maintain.tick"
MAINTAIN_QUEUE = "maintain"

_MOST_SENDERS = 256
"""Threads of one process that may send at the same time; a connection opens only when it is needed."""
_log = logging.getLogger("hippocamp.wakeups")


def celery_app(name: str, redis_url: str, *, timeout_seconds: float = 10, **settings: Any) -> Celery:
    """A Celery application without result backend, set so that a wake-up may be lost or doubled freely.

    timeout_seconds: how long Redis may take to answer; a process that only sends gives up earlier.
    """
    address, found_by = broker(redis_url)
    app = Celery(name, broker=address, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=False,
        # Free slots alone limit what a worker takes. A limit of unacknowledged messages would make it deaf
        # for ever once an acknowledgement has met a broken connection.
        worker_prefetch_multiplier=0,
        worker_disable_prefetch=True,
        worker_enable_prefetch_count_reduction=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_proc_alive_timeout=300,  # a child loads its networks before it reports for work
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=_MOST_SENDERS,
        broker_transport_options={
            "socket_keepalive": True,
            "health_check_interval": 15,
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": min(timeout_seconds, 5),
            "max_retries": 1,  # a sender gives up soon; consumers have their own endless retry
            "interval_start": 0,
            **found_by,
        },
        worker_hijack_root_logger=False,
        timezone="UTC",
        **settings,
    )
    return app


def wake(app: Celery, stage: Stage, count: int = 1) -> bool:
    """Send `count` wake-ups; False when Redis is away: the reaper tops them up later."""
    if not count:
        return True
    try:
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(count):
                app.send_task(
                    TASK[stage], queue=str(stage), producer=producer, ignore_result=True, retry=False
                )
    except (OperationalError, redis.RedisError):
        _log.warning("wakeup.not_sent", extra={"stage": stage}, exc_info=True)
        return False
    return True
