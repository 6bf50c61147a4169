"""Follows the jobs that streams and waits are about: one question to Redis a tick for all, in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import redis

from contracts.job import Job as Record
from gateway.jobs.events import JobEvent
from jobstore.replies import QueueEstimate
from jobstore.store import JobStore

_log = logging.getLogger("hippocamp.gateway")

Render = Callable[[Record, QueueEstimate], JobEvent]


@dataclass(frozen=True)
class News:
    """A job that has changed; `event` for those who asked for one."""

    record: Record
    position: int | None
    event: JobEvent | None


class Follower:
    """Somebody who waits for news of one job. render: makes the event of a stream."""

    def __init__(self, job_id: str, render: Render | None) -> None:
        self.job_id, self.render = job_id, render
        self.has_ended = False
        self._news: News | None = None
        self._changed = asyncio.Event()

    async def next(self, seconds: float) -> News | None:
        """The next news; None when there was none for so long, or `has_ended`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()
        news, self._news = self._news, None
        return None if self.has_ended else news

    def bring(self, news: News) -> None:
        """What the follower gets next; older news that it has not taken is out of date."""
        self._news = news
        self._changed.set()

    def end(self) -> None:
        """No more news: the client left, the place is another's, or the server stops."""
        self.has_ended = True
        self._changed.set()


class Hub:
    """Used on the event loop; `run` is its task."""

    def __init__(self, job_store: JobStore) -> None:
        self._job_store = job_store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hub")
        self._followers: dict[str, set[Follower]] = {}
        self._known: dict[str, News] = {}

    @contextmanager
    def following(self, job_id: str, render: Render | None = None) -> Iterator[Follower]:
        """A follower of the job; one who comes late is told what the others know at the next change."""
        one = Follower(job_id, render)
        self._followers.setdefault(job_id, set()).add(one)
        self._known.pop(job_id, None)
        try:
            yield one
        finally:
            self._followers[job_id].discard(one)
            if not self._followers[job_id]:
                del self._followers[job_id]
                self._known.pop(job_id, None)

    async def run(self) -> None:
        """Ask as long as anybody follows; the more jobs, the more seldom."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(0.5, 0.1 + 0.002 * len(self._followers)))
            asked = {job: _render_of(those) for job, those in self._followers.items()}
            if not asked:
                continue
            try:
                found = await loop.run_in_executor(self._thread, self._look, asked, dict(self._known))
            except Exception as error:  # noqa: BLE001  those who follow ask again; the hub must outlive it
                away = isinstance(error, redis.RedisError)
                _log.log(
                    logging.WARNING if away else logging.ERROR,
                    "hub.no_news",
                    exc_info=None if away else error,
                    extra={"error": type(error).__name__},
                )
                self._end(asked)
                continue
            self._spread(found)

    def _look(self, asked: Mapping[str, Render | None], known: Mapping[str, News]) -> dict[str, News | None]:
        """In the thread: news of jobs that changed, None for those that are no more."""
        found: dict[str, News | None] = {}
        for job_id, seen in self._job_store.look_at(list(asked)).items():
            if seen is None:
                found[job_id] = None
                continue
            record, estimate = seen
            old, render = known.get(job_id), asked[job_id]
            if old and (old.record.fields, old.position) == (record.fields, estimate.position):
                continue
            event = render(record, estimate) if render else None
            found[job_id] = News(record, estimate.position, event)
        return found

    def _spread(self, found: Mapping[str, News | None]) -> None:
        for job_id, news in found.items():
            if news is None:
                self._end([job_id])
                continue
            followers = self._followers.get(job_id, ())
            if followers and (news.event or not any(one.render for one in followers)):
                self._known[job_id] = news  # a stream that joined during the look is told by the next one
            for one in followers:
                if news.event or not one.render:
                    one.bring(news)

    def _end(self, jobs: Mapping[str, object] | list[str]) -> None:
        for job_id in jobs:
            for one in self._followers.get(job_id, ()):
                one.end()


def _render_of(followers: set[Follower]) -> Render | None:
    return next((one.render for one in followers if one.render), None)
