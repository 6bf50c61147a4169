"""Answers that wait for a job: event streams and `Prefer: wait`, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from contracts.job import Job as Record
from gateway.http.errors import StreamsBusy
from gateway.jobs.events import HEARTBEAT_SECONDS, LONGEST_SECONDS, RETRY, STILL_HERE
from gateway.server.guard import Guard
from gateway.server.handover import SITE
from gateway.server.held_answers import Stream, Wait
from gateway.server.hub import Follower, Hub
from gateway.server.places import Places
from gateway.server.replies import Reply
from gateway.server.wsgi import HttpAnswer

_streams = Gauge("hippocamp_event_streams", "Event streams that are open", multiprocess_mode="livesum")


class Following:
    """The places of one process for streams and for waits, and the hub that has the news."""

    def __init__(self, hub: Hub, *, streams: int, waits: int) -> None:
        self._hub = hub
        self._streams, self._waits = Places(streams, kind="streams"), Places(waits, kind="waits")

    async def stream(self, stream: Stream, answer: HttpAnswer, reply: Reply, guard: Guard) -> None:
        """Send events until the job ends or the client leaves; StreamsBusy when no place can be had.

        What a job that has ended still has to tell takes no place.
        """
        if stream.first.is_last:
            body = RETRY + stream.first.encoded()
            await reply.whole(HttpAnswer(answer.status, answer.without(b"content-length"), body))
            return
        with self._follower(
            stream.job_id, stream, self._streams, str(answer.environ.get(SITE, "")), guard
        ) as follower:
            if follower is None:
                raise StreamsBusy(
                    "Too many callers follow jobs; poll the job instead, or come back in a while"
                )
            _streams.inc()
            try:
                await reply.begin(answer.status, answer.without(b"content-length"))
                await _send_events(stream, follower, reply)
                await reply.piece(b"", more=False)
            finally:
                _streams.dec()

    async def wait(self, wait: Wait, answer: HttpAnswer, guard: Guard) -> HttpAnswer:
        """The answer once the job has ended, or as it is when the time or the place to wait is over."""
        with self._follower(
            wait.job_id, None, self._waits, str(answer.environ.get(SITE, "")), guard
        ) as follower:
            if follower is None:
                return answer
            record = await _until_ended(follower, wait.seconds)
            if record is None and follower.has_ended:
                return answer
        applied = (b"preference-applied", f"wait={wait.seconds}".encode())
        if record is None:
            return HttpAnswer(answer.status, [*answer.headers, applied], answer.body)
        body = await asyncio.get_running_loop().run_in_executor(None, wait.body, record)
        return HttpAnswer(200, [*answer.without(b"content-length", b"retry-after"), applied], body)

    @contextmanager
    def _follower(
        self, job_id: str, stream: Stream | None, places: Places, site: str, guard: Guard
    ) -> Iterator[Follower | None]:
        with self._hub.following(job_id, stream.render if stream else None) as follower:
            place = places.take(site, follower.end)
            if place is None:
                yield None
                return
            guard.on_ending(follower.end)
            try:
                yield follower
            finally:
                guard.off_ending(follower.end)
                places.leave(place)


async def _send_events(stream: Stream, follower: Follower, reply: Reply) -> None:
    loop = asyncio.get_running_loop()
    ends, event, seen = loop.time() + LONGEST_SECONDS, stream.first, stream.seen
    await reply.piece(RETRY)
    while not follower.has_ended:
        if event.id != seen:
            seen = event.id
            await reply.piece(event.encoded())
        if event.is_last or loop.time() > ends:
            return
        news = await follower.next(HEARTBEAT_SECONDS)
        if news and news.event:
            event = news.event
        elif not follower.has_ended:
            await reply.piece(STILL_HERE)


async def _until_ended(follower: Follower, seconds: float) -> Record | None:
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while not follower.has_ended and loop.time() < ends:
        news = await follower.next(ends - loop.time())
        if news and news.record.state.is_terminal:
            return news.record
    return None
