"""Wake-ups: Celery messages without a job id that tell a stage's workers to look at the job store."""

from __future__ import annotations

import base64
import json
import logging
import uuid
from typing import Any, cast

import redis
from celery import Celery
from celery.app.amqp import AMQP

from contracts.states import Stage
from runtime.redis_connections import broker

TASK = {stage: f"{stage}.wake" for stage in Stage}
"""Stage -> Celery task name; the queue is named like the stage."""

MAINTAIN_TASK = "maintain.tick"
MAINTAIN_QUEUE = "maintain"

_NO_ARGUMENTS = base64.b64encode(b"[[], {}, {}]").decode()
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
        name,
        broker=address,
        amqp=Unacknowledged,
        set_as_current=False,
        task_cls="jobstore.wakeup_messages:WakeUp",
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


def wake(client: redis.Redis, stage: Stage, count: int = 1) -> bool:
    """Send `count` wake-ups; False when Redis is away: the reaper tops them up later."""
    if not count:
        return True
    try:
        client.lpush(stage, *(_message(stage) for _ in range(count)))
    except redis.RedisError:
        _log.warning("wakeup.not_sent", extra={"stage": stage}, exc_info=True)
        return False
    return True


def another(client: redis.Redis, stage: Stage, seconds: float) -> bool:
    """Take the next wake-up of the stage, as Celery's own process would, if one comes in time.

    A worker that has just been busy looks here for a while: the way through Celery costs ten times as much.
    Another task's message is put back to where it was.
    """
    try:
        found = cast("tuple[str, str] | None", client.brpop([stage], timeout=seconds))
        if found and f'"{TASK[stage]}"' not in found[1]:
            client.rpush(stage, found[1])
            return False
    except redis.RedisError:
        return False
    return found is not None


def _message(stage: Stage) -> str:
    """A task without arguments as Celery writes it (its message protocol, version 2)."""
    id_ = str(uuid.uuid4())
    about = {"lang": "py", "task": TASK[stage], "id": id_, "root_id": id_, "ignore_result": True}
    way = {"exchange": "", "routing_key": str(stage)}
    return json.dumps(
        {
            "body": _NO_ARGUMENTS,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": about,
            "properties": {
                "correlation_id": id_, "delivery_mode": 2, "delivery_info": way, "priority": 0,
                "body_encoding": "base64", "delivery_tag": id_,
            },
        }
    )  # fmt: skip
