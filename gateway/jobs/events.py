"""A job's state as a server-sent event (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.http.schemas import Job

RETRY = b"retry: 2000\n\n"
STILL_HERE = b": still here\n\n"
HEARTBEAT_SECONDS = 15.0
LONGEST_SECONDS = 600.0
"""After this long a stream ends; the client connects again and goes on where it was."""


@dataclass(frozen=True)
class JobEvent:
    """The job as data, under an id that changes with what is worth sending. is_last: the job has ended."""

    id: str
    data: str
    is_last: bool

    @classmethod
    def of(cls, job: Job) -> JobEvent:
        """The ETA alone is not worth an event."""
        text = job.model_dump_json()
        lasting = text
        if job.eta_seconds is not None:
            lasting = job.model_copy(update={"eta_seconds": None}).model_dump_json()
        return cls(hashlib.sha256(lasting.encode()).hexdigest()[:16], text, job.state.is_terminal)

    def encoded(self) -> bytes:
        """As it is sent."""
        return f"id: {self.id}\nevent: job\ndata: {self.data}\n\n".encode()
