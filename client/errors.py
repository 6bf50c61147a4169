"""Everything the client raises, with what a caller can do about it.

HippocampError
├── Refused            the service answered with a problem (4xx); `problem` says which
│   ├── BadInput       the bytes are no volume it can answer for (413, 415, 422)
│   ├── NotAllowed     key missing, wrong or without the scope (401, 403)
│   └── NotFound       no such job, or erased (404, 410)
├── Unavailable        no answer, or 429/5xx, after every retry
├── JobEnded           the job ended without a result; `job` says how
├── WaitedTooLong      the job was not finished within the caller's limit; it goes on
├── BadSignature       a webhook that the service did not send, or sent long ago
├── PacsUnavailable    the PACS gave no answer, or cannot store now
└── PacsRefused        the PACS will not store this; somebody must look
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client.models import JobStatus, Problem


class ClientError(Exception):
    """Base of all errors of the client."""


class Refused(ClientError):  # noqa: N818  errors are named for what happened
    """The service answered with a problem that a retry does not change."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.detail}")
        self.problem = problem


class BadInput(Refused):
    """The bytes are no volume the service can answer for."""


class NotAllowed(Refused):
    """The key is missing, wrong, or may not do this."""


class NotFound(Refused):
    """There is no such job for this key, or it was erased."""


class Unavailable(ClientError):  # noqa: N818
    """The service gave no usable answer after every retry."""


class JobEnded(ClientError):  # noqa: N818
    """The job ended without a result."""

    def __init__(self, job: JobStatus) -> None:
        why = f": {job.error.code}: {job.error.detail}" if job.error else ""
        super().__init__(f"{job.id} ended as {job.state}{why}")
        self.job = job


class WaitedTooLong(ClientError):  # noqa: N818
    """The job was not finished within the caller's limit; it goes on without the caller."""


class BadSignature(ClientError):  # noqa: N818
    """The webhook does not carry a valid, fresh signature."""


class PacsUnavailable(ClientError):  # noqa: N818
    """The PACS gave no answer, has no room, or does not know the study yet; a later try may help."""


class PacsRefused(ClientError):  # noqa: N818
    """The PACS will not store this; its address, rights or rules must be looked at."""


_BY_STATUS: dict[int, type[Refused]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    410: NotFound,
    413: BadInput,
    415: BadInput,
    422: BadInput,
}


def refusal(problem: Problem) -> Refused:
    """The error of a problem document."""
    return _BY_STATUS.get(problem.status, Refused)(problem)
