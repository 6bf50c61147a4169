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
from workers.inference import infer, model_health
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
    contexts: dict[int, WorkerContext] = {}

    def context() -> WorkerContext:
        """This process's own: connections must not cross a fork."""
        own = contexts.get(os.getpid())
        if own is None:
            own = contexts[os.getpid()] = WorkerContext(settings, app)
        return own

    limit = int(settings.infer_limit_seconds + infer.TURN_SECONDS) + 2

    @app.task(name=TASK[Stage.INFER], time_limit=limit)
    def _infer() -> None:
        infer.work(context())

    @app.task(name=model_health.CANARY_TASK, time_limit=limit)
    def _canary() -> None:
        model_health.run_canary(context())

    @app.task(name=model_health.LIVENESS_TASK, time_limit=limit)
    def _liveness() -> None:
        model_health.check_liveness(context())

    @app.task(name=TASK[Stage.DELIVER], time_limit=int(settings.webhook_seconds) + 32)
    def _deliver() -> None:
        deliver.work_once(context())

    @app.task(name=MAINTAIN_TASK, time_limit=120)
    def _tick() -> None:
        maintain.tick(context())

    return app


app = build(Settings())
