"""What a client is expected to do next on its connection."""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """What the client is expected to do."""

    HEAD = auto()
    """Send a request's head, or the rest of it."""
    IDLE = auto()
    """Nothing: it has had its answer and may ask again."""
    SERVED = auto()
    """Wait, send its body or take its answer: the front sees to the time of these."""
    DRAIN = auto()
    """Send the rest of a body that was answered early."""
    OVER = auto()
    """Take the last answer and go."""
