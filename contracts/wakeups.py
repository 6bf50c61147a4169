"""Wake-ups: Celery messages without a job id that tell a stage's workers to look at the line."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu.exceptions import OperationalError

from contracts.connections import broker
from contracts.states import Stage

TASK = {stage: f"{stage}.wake" for stage in Stage}
"""Stage -> Celery task name; the queue is named like the stage."""

MAINTAIN_TASK = "maintain.tick"
MAINTAIN_QUEUE = "maintain"

_log = logging.getLogger("hippocamp.wakeups")


class Unacknowledged(AMQP):
    """Consumers that take a message for good: two transactions fewer in Redis for each wake-up."""

    def TaskConsumer(self, *args: Any, **options: Any) -> Any:  # noqa: N802  Celery's name
        """Celery's consumer of tasks."""
        return super().TaskConsumer(*args, no_ack=True, **options)


def celery_app(name: str, redis_url: str, **settings: Any) -> Celery:
    """A Celery application without result backend, set so that a wake-up may be lost or doubled freely."""
    address, found_by = broker(redis_url)
    app = Celery(
        name, broker=address, amqp=Unacknowledged, set_as_current=False, task_cls="contracts.hints:WakeUp"
    )
    app.conf.update(
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_proc_alive_timeout=300,  # a child loads its networks before it reports for work
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_keepalive": True,
            "health_check_interval": 15,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
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
    """Send `count` wake-ups; False when the broker is away: the reaper tops them up later."""
    try:
        for _ in range(count):
            app.send_task(TASK[stage], queue=str(stage), ignore_result=True, retry=False)
    except OperationalError:
        _log.warning("wakeup.not_sent", extra={"stage": stage})
        return False
    return True
