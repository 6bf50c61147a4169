"""Forgetting what is old: jobs past their site's retention go, with everything that was made of them.

So do cards of models that have not answered for as long as any site keeps a result that may name them.
"""

from __future__ import annotations

import logging
import time
from typing import cast

from contracts.errors import JobNotFound
from contracts.job import Job
from jobstore import deployed, keys, sites
from jobstore.inbox import Inbox
from workers.context import WorkerContext

_log = logging.getLogger("hippocamp.maintain")

EVERY_SECONDS = 30
MOST_AT_ONCE = 500
"""Jobs of one site forgotten in one round, so that a round stays short."""


def retire(context: WorkerContext) -> int:
    """Erase ended jobs that are old enough, without a tombstone; how many. At most once in EVERY_SECONDS."""
    if not context.redis.set(keys.retention("asked"), 1, nx=True, ex=EVERY_SECONDS):
        return 0
    names = sorted(cast("set[str]", context.redis.smembers(keys.SITES)))
    kept = {name: _kept_seconds(context, name) for name in names}
    _forget_cards(context, [context.settings.retention_seconds, *kept.values()])
    inbox = Inbox(context.redis)
    return sum(_retire(context, inbox, name, seconds) for name, seconds in kept.items() if seconds)


def _kept_seconds(context: WorkerContext, name: str) -> int:
    site = sites.find(context.redis, name)
    return site.retention_seconds if site else context.settings.retention_seconds


def _forget_cards(context: WorkerContext, kept: list[int]) -> None:
    """Only where every site's results end some day."""
    if all(kept) and (gone := deployed.forget_cards(context.redis, after_seconds=max(kept))):
        _log.info("cards.forgotten", extra={"models": gone})


def _retire(context: WorkerContext, inbox: Inbox, name: str, kept: int) -> int:
    oldest = int((time.time() - kept) * 1000)
    ids = cast(
        "list[str]",
        context.redis.zrangebyscore(keys.jobs_of_site(name), "-inf", oldest, start=0, num=MOST_AT_ONCE),
    )
    forgotten = sum(_forget(context, job_id) for job_id in ids)
    if forgotten:
        _log.info("jobs.forgotten", extra={"site": name, "count": forgotten})
    _forget_collected(inbox, name, oldest)
    return forgotten


def _forget_collected(inbox: Inbox, name: str, oldest: int) -> None:
    """Studies of which nothing came since; a gateway forgets them much sooner, unless none runs."""
    found = inbox.studies(name, until_ms=oldest, most=MOST_AT_ONCE)
    if gone := sum(inbox.forget(study) for study in found):
        _log.info("studies.forgotten", extra={"site": name, "count": gone})


def _forget(context: WorkerContext, job_id: str) -> bool:
    fields = context.job_store.record(job_id)
    if fields.get("kind") != "job" or not Job(fields).state.is_terminal:
        return False
    try:
        context.job_store.erase(Job(fields), tombstone=False)
    except JobNotFound:
        return False
    return True
