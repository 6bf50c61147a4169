"""What the command's exit status says; scripts may rely on it (docs/client.md)."""

from __future__ import annotations

from enum import IntEnum

from client.errors import BadInput, BadSignature, ClientError, JobEnded, NotAllowed, NotFound, Unavailable
from client.errors import WaitedTooLong as Waited


class Exit(IntEnum):
    """Exit statuses of `hippocamp`; 1 is an error of no kind below, 2 a wrong use of the command."""

    OK = 0
    ERROR = 1
    USAGE = 2
    BAD_INPUT = 3
    JOB_ENDED = 4
    NOT_FOUND = 5
    NOT_ALLOWED = 6
    UNAVAILABLE = 7
    WAITED_TOO_LONG = 8
    SOME_FAILED = 9
    UNHEALTHY = 10
    INTERRUPTED = 130


_REFUSED_INPUT = ("input.", "quality.")


def exit_of(error: ClientError) -> Exit:
    """The status for an error; a volume refused after submission ends like one refused at the door."""
    if isinstance(error, JobEnded):
        code = error.job.error.code if error.job.error else ""
        return Exit.BAD_INPUT if code.startswith(_REFUSED_INPUT) else Exit.JOB_ENDED
    by_kind = {
        BadInput: Exit.BAD_INPUT,
        NotFound: Exit.NOT_FOUND,
        NotAllowed: Exit.NOT_ALLOWED,
        Unavailable: Exit.UNAVAILABLE,
        Waited: Exit.WAITED_TOO_LONG,
        BadSignature: Exit.NOT_ALLOWED,
    }
    return by_kind.get(type(error), Exit.ERROR)
