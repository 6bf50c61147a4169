"""Uploads that no job names: a gateway that died, or lost Redis, before the record leaves them behind.

An upload's age is counted in rounds of the reconciler, not in seconds: while a machine sleeps nobody makes a
round, and a clock that steps makes none. One that is withdrawn in spite of a record that is still to come
costs its sender a repeated request, and never a job (jobstore/uploads.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import cast

from contracts.errors import StoreUnavailable
from jobstore import keys
from workers.context import WorkerContext

_log = logging.getLogger("hippocamp.maintain")

EVERY_ROUNDS = 300
"""From one look at the store to the next: ten minutes at a round every two seconds."""
GRACE_ROUNDS = 1800
"""No gateway makes an hour of rounds wait between the last byte of an upload and its record."""
_AT_ONCE = 500
_FOLDERS = ("inputs", "inbox")
"""Uploads of jobs, and instances that are collected (jobstore/inbox.py)."""


def collect(context: WorkerContext) -> int:
    """Count this round; in every 300th, delete what no job has named for 1,800 of them; how many."""
    this_round = int(context.redis.incr(keys.ORPHAN_ROUNDS))
    if this_round % EVERY_ROUNDS:
        return 0
    try:
        stored = [path for folder in _FOLDERS for path in context.blobs.list_all(folder)]
    except StoreUnavailable as error:
        _log.warning("uploads.not_listed", extra={"detail": error.detail})
        return 0
    found = sum(
        context.job_store.uploads.withdraw_orphans(some, this_round=this_round, grace_rounds=GRACE_ROUNDS)
        for some in _chunks(stored)
    )
    _forget_deleted(context, set(stored))
    if found:
        _log.warning("uploads.orphaned", extra={"count": found})
    return found


def _chunks(paths: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(paths), _AT_ONCE):
        yield paths[start : start + _AT_ONCE]


def _forget_deleted(context: WorkerContext, stored: set[str]) -> None:
    noted = cast("list[str]", context.redis.zrange(keys.ORPHANED_UPLOADS, 0, -1))
    for gone in _chunks([path for path in noted if path not in stored]):
        context.redis.zrem(keys.ORPHANED_UPLOADS, *gone)
