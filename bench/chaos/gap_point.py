"""The point just after Celery's pop of a message: nothing anywhere says yet that somebody has it."""

from __future__ import annotations

import os
import signal
from typing import Any

from kombu.transport import redis as transport

VARIABLE = "HIPPOCAMP_CHAOS_GAP"


def die_in_the_gap() -> None:
    """Where the variable is set, this process and its children are killed at the first message they pop."""
    if not os.environ.get(VARIABLE):
        return

    def deliver(*_: Any) -> None:
        os.killpg(0, signal.SIGKILL)

    transport.Transport._deliver = deliver
