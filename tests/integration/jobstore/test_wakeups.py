"""Wake-ups on a real Redis: they reach a worker's queue, and a Redis that is away costs the sender little."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from contracts.states import Stage
from jobstore.wakeups import TASK, celery_app, wake
from runtime.redis_connections import connect
from tests.redis_servers import Server

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "redis").start()
    yield server
    server.kill()


def test_a_worker_finds_as_many_as_were_sent(celery: Celery, redis_client: redis.Redis) -> None:
    assert wake(celery, Stage.INFER, 0)
    assert wake(celery, Stage.INFER, 3)
    assert redis_client.llen("infer") == 3
    with celery.connection_for_read() as connection, connection.SimpleQueue("infer", no_ack=True) as queue:
        assert {queue.get(timeout=60).headers["task"] for _ in range(3)} == {TASK[Stage.INFER]}


def test_a_message_without_acknowledgement_fills_no_slot(celery: Celery) -> None:
    """What an acknowledgement on a broken connection leaves behind must not count against the worker."""
    assert celery.conf.worker_prefetch_multiplier == 0
    assert celery.conf.worker_disable_prefetch
    taken: list[object] = []
    wake(celery, Stage.INFER, 2)
    celery.amqp.queues.select_add("infer")
    with celery.connection_for_read() as connection:
        consumer = celery.amqp.TaskConsumer(connection, on_message=taken.append)
        consumer.qos(prefetch_count=celery.conf.worker_prefetch_multiplier)
        with consumer:
            for _ in range(2):
                connection.drain_events(timeout=60)
    assert len(taken) == 2


def test_a_redis_that_hangs_holds_a_sender_up_for_a_moment(server: Server) -> None:
    app = celery_app("test", server.url, timeout_seconds=0.5)
    assert wake(app, Stage.PREPROCESS)
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    assert not wake(app, Stage.PREPROCESS)
    assert time.monotonic() - started < 3
    server.process.send_signal(signal.SIGCONT)
    assert wake(app, Stage.PREPROCESS)
    app.close()


def test_a_sender_goes_on_after_a_redis_that_was_away(server: Server) -> None:
    app = celery_app("test", server.url, timeout_seconds=0.5)
    assert wake(app, Stage.PREPROCESS)
    server.kill()
    assert not wake(app, Stage.PREPROCESS)
    assert not wake(celery_app("new", server.url, timeout_seconds=0.5), Stage.PREPROCESS)
    server.start()
    assert wake(app, Stage.PREPROCESS)
    app.close()


def test_a_redis_that_refuses_writes_is_no_error(server: Server) -> None:
    app, client = celery_app("test", server.url), connect(server.url)
    client.config_set("maxmemory", "1mb")
    client.config_set("maxmemory", "1")
    assert not wake(app, Stage.PREPROCESS)
    client.config_set("maxmemory", "0")
    assert wake(app, Stage.PREPROCESS)
    client.close()
    app.close()
