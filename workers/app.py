"""The Celery application of inference, webhooks and upkeep: `celery -A workers.app:app worker -Q infer`."""

from __future__ import annotations

import os

from celery import Celery

from contracts.states import Stage
from jobstore import heartbeats
from jobstore.orphaned_claims import watch
from jobstore.wakeups import MAINTAIN_QUEUE, MAINTAIN_TASK, TASK, celery_app
from jobstore.worker_process import configure_worker
from workers.context import WorkerContext
from workers.delivery import deliver
from workers.inference import infer
from workers.maintenance import maintain
from workers.settings import Settings


def build(settings: Settings) -> Celery:
    """All tasks on one application; which of them a worker runs is decided by its queues."""
    settings.model_servers  # noqa: B018  nonsense must not start
    app = celery_app("workers", settings.redis_url)
    configure_worker("workers", stop_seconds=settings.stop_seconds)
    watch(settings.redis_url, [Stage.INFER, Stage.DELIVER])
    heartbeats.announce(settings.redis_url)
    app.conf.beat_schedule = {
        "maintain": {
            "task": MAINTAIN_TASK,
            "schedule": maintain.TICK_SECONDS,
            "options": {"queue": MAINTAIN_QUEUE, "expires": 10, "ignore_result": True},
        }
    }
    places: dict[int, WorkerContext] = {}

    def place() -> WorkerContext:
        """This process's own: connections must not cross a fork."""
        own = places.get(os.getpid())
        if own is None:
            own = places[os.getpid()] = WorkerContext(settings, app)
        return own

    limit = int(settings.infer_limit_seconds + infer.TURN_SECONDS) + 2

    @app.task(name=TASK[Stage.INFER], time_limit=limit)
    def _infer() -> None:
        infer.work(place())

    @app.task(name=maintain.CANARY_TASK, time_limit=limit)
    def _canary() -> None:
        maintain.prove(place())

    @app.task(name=maintain.PULSE_TASK, time_limit=limit)
    def _pulse() -> None:
        maintain.look(place())

    @app.task(name=TASK[Stage.DELIVER], time_limit=int(settings.webhook_seconds) + 32)
    def _deliver() -> None:
        deliver.work_once(place())

    @app.task(name=MAINTAIN_TASK, time_limit=120)
    def _tick() -> None:
        maintain.tick(place())

    return app


app = build(Settings())
