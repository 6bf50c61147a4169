"""What the operating system refuses, as errors with a code; loads nothing, for small processes use it too."""

from __future__ import annotations

import errno

from contracts.errors import ResourcesExhausted, StoreUnavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN})


def of_system(error: BaseException) -> StoreUnavailable | None:
    """StoreUnavailable for a full disk, ResourcesExhausted for a machine with nothing left, or None."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        return StoreUnavailable("The disk is full; try again later, and tell your operator")
    if number in _EXHAUSTED:
        return ResourcesExhausted(
            "The server has no resources left for this call; send it again in a few seconds"
        )
    return None


def of_disk(error: BaseException, detail: str) -> StoreUnavailable:
    """StoreUnavailable with `detail`, unless it is the machine that has nothing left."""
    failure = of_system(error)
    return failure if isinstance(failure, ResourcesExhausted) else StoreUnavailable(detail)
