"""What a caller is told when Redis or the operating system refuses: one function decides, for every service.

Redis is away, loads, is busy, full or cut off   503, JobStoreUnavailable and its kinds: it may succeed later
Redis does not know us, or forbids a command     500, Misconfigured: an operator has to change a setting
the disk is full                                 503, StoreUnavailable
no file descriptor, process or memory is left    503, ResourcesExhausted
everything else, a script that broke included    500, HippocampError: the fault is ours

The text of Redis or of the system goes to the log (`about`), never to the caller.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping

import redis

from contracts.errors import (
    HippocampError,
    JobStoreBusy,
    JobStoreDegraded,
    JobStoreFull,
    JobStoreLoading,
    JobStoreNotSaved,
    JobStoreReadOnly,
    JobStoreUnavailable,
    Misconfigured,
)
from runtime.system_errors import of_system

_CODE = re.compile(r"^([A-Z]{3,})(?: |$)|@user_script: ?\d+: -([A-Z]{3,}) ")
"""The error code of Redis's protocol; before 7.0 an error inside a script carries it in the middle."""
_FORBIDDEN_IN_SCRIPT = re.compile(
    r"@user_script: ?\d+: The user executing the script can't |ACL failure in script"
)
_PIPELINED = " of pipeline caused error: "
"""What the client writes before it is the command with its arguments, which belong into no log."""

_DEGRADED = (
    JobStoreDegraded,
    "The job store misses its master or replicas; send the same request again soon",
)
_FORBIDDEN = (Misconfigured, "The job store refuses this service's user; quote trace_id to your operator")
_BY_CODE: Mapping[str, tuple[type[HippocampError], str]] = {
    "LOADING": (JobStoreLoading, "The job store reads its data from disk; send the same request again soon"),
    "BUSY": (JobStoreBusy, "A long command holds the job store; send the same request again soon"),
    "OOM": (JobStoreFull, "The job store's memory is full; try again later, and tell your operator"),
    "MISCONF": (JobStoreNotSaved, "The job store cannot write its disk; try again later, tell your operator"),
    "READONLY": (JobStoreReadOnly, "The job store changes its master; send the same request again soon"),
    "CLUSTERDOWN": _DEGRADED,
    "MASTERDOWN": _DEGRADED,
    "NOREPLICAS": _DEGRADED,
    "TRYAGAIN": _DEGRADED,
    "NOAUTH": _FORBIDDEN,
    "WRONGPASS": _FORBIDDEN,
    "NOPERM": _FORBIDDEN,
}  # fmt: skip
_BY_CLASS: tuple[tuple[type[redis.RedisError], str], ...] = (
    (redis.exceptions.BusyLoadingError, "LOADING"),
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
    (redis.exceptions.AuthenticationError, "NOAUTH"),
    (redis.exceptions.AuthorizationError, "NOAUTH"),
    (redis.exceptions.ClusterDownError, "CLUSTERDOWN"),
    (redis.exceptions.TryAgainError, "TRYAGAIN"),
)
"""The client cuts the code off the errors that it has a class for."""


def failure_of(error: BaseException) -> HippocampError:
    """The error of ours that `error` amounts to; an error of ours is itself."""
    if isinstance(error, HippocampError):
        return error
    if isinstance(error, redis.RedisError):
        return _of_redis(error)
    return of_system(error) or HippocampError("An unexpected error; quote trace_id to your operator")


def about(error: BaseException) -> dict[str, str]:
    """Fields for the log: the code under which the error is reported, and its own text.

    Of an error that is neither ours, Redis's nor the system's only the name: its text may quote the caller.
    """
    told = type(error).__name__
    if isinstance(error, redis.RedisError):
        told += f": {str(error).rpartition(_PIPELINED)[2]}"
    elif isinstance(error, HippocampError | OSError):
        told += f": {error}"
    return {"code": failure_of(error).code, "error": told}


def frames_of(error: BaseException) -> list[str]:
    """Where an error came from, "file:line function" each, outermost first, and the names of its causes.

    A formatted traceback would end in the error's text.
    """
    found, causes = [], [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    for cause in reversed(causes):
        frames = traceback.extract_tb(cause.__traceback__)
        found += [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        found.append(type(cause).__name__)
    return found


def _of_redis(error: redis.RedisError) -> HippocampError:
    known = _BY_CODE.get(_code_of(error))
    if known:
        kind, detail = known
        return kind(detail)
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        if error.__context__ and (failure := of_system(error.__context__)):
            return failure
        return JobStoreUnavailable(
            "The job store did not answer; send the same request again in a few seconds"
        )
    return HippocampError("The job store refused a command; quote trace_id to your operator")


def _code_of(error: redis.RedisError) -> str:
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            return code
    text = str(error).rpartition(_PIPELINED)[2]
    if _FORBIDDEN_IN_SCRIPT.search(text):
        return "NOPERM"
    found = _CODE.search(text)
    return (found[1] or found[2]) if found else ""
