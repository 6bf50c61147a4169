"""What an engineer would otherwise write: one Celery task a job, on Redis, set as the docs advise."""

from __future__ import annotations

import os

import redis
from celery import Celery

from bench.chaos.gap_point import die_in_the_gap

URL = os.environ.get("HIPPOCAMP_CHAOS_PLAIN", "redis://127.0.0.1:6379/1")
QUEUE, DONE = "plain", "plain:done"

app = Celery("plain", broker=URL, set_as_current=False)
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 2},
)


@app.task(name="plain.work")
def work(job: str) -> None:
    """The whole job."""
    redis.Redis.from_url(URL).sadd(DONE, job)


die_in_the_gap()
