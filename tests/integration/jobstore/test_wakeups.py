"""A wake-up is taken for good: nothing is noted about it that a broken connection could leave behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from kombu.utils.imports import symbol_by_name

from contracts.states import Stage
from jobstore.wakeup_messages import WakeUpRequest
from jobstore.wakeups import another, celery_app, wake

pytestmark = pytest.mark.integration


def test_a_wake_up_under_way_fills_no_slot(redis_url: str, redis_client: redis.Redis) -> None:
    app, taken = celery_app("test", redis_url), []
    app.amqp.queues.select_add("infer")
    wake(redis_client, Stage.INFER)
    with app.connection_for_read() as connection:
        consumer = app.amqp.TaskConsumer(connection, on_message=taken.append)
        with consumer:
            connection.drain_events(timeout=60)
            assert len(taken) == 1
            assert redis_client.keys("unacked*") == []
            assert taken[0].channel.qos.can_consume()
    app.close()


def test_nobody_acknowledges_it() -> None:
    assert symbol_by_name(celery_app("test", "redis://127.0.0.1:1/0").Task.Request) is WakeUpRequest
    request: Any = SimpleNamespace(acknowledged=False)
    WakeUpRequest.acknowledge(request)  # it has no message whose channel could be broken
    assert request.acknowledged


def test_a_listener_takes_wake_ups_and_leaves_other_tasks(redis_url: str, redis_client: redis.Redis) -> None:
    assert not another(redis_client, Stage.INFER, 0.01)
    wake(redis_client, Stage.INFER, 2)
    assert another(redis_client, Stage.INFER, 1)
    app = celery_app("test", redis_url)
    app.send_task("infer.canary", queue="infer", ignore_result=True)
    assert another(redis_client, Stage.INFER, 1), "the older one first"
    assert not another(redis_client, Stage.INFER, 1)
    assert redis_client.llen("infer") == 1, "it lies where it was"
    app.close()
