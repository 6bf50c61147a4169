"""What a wake-up is inside a Celery worker: a message that nobody acknowledges (loaded by workers only)."""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.worker.request import Request


class WakeUpRequest(Request):
    """A message that was taken off its queue for good.

    An acknowledgement that met a broken connection would fill the worker's only slot for ever, since kombu
    goes on counting the message as not acknowledged: the worker would be deaf from then on.
    """

    def acknowledge(self) -> None:
        """Send nothing."""
        self.acknowledged = True


class WakeUp(Task[Any, Any]):
    """Base of all tasks: at most once, never restored; the job store knows what is owed."""

    abstract = True
    Request = "jobstore.wakeup_messages:WakeUpRequest"
