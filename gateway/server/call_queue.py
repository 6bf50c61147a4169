"""Calls of the application wait here for a thread: in turn by site, briefly, and no site in all threads."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from gateway.http.errors import ServerBusy
from gateway.server.places import Place, Places

T = TypeVar("T")

CALL_SECONDS = 2.0
UPLOAD_SECONDS = 30.0
"""A body that has been received whole may wait longer: to send it again costs more than to wait."""


@dataclass(eq=False)
class _Waiting:
    upload: bool
    turn: asyncio.Future[None]

    def give_up(self) -> None:
        """Its place is another site's."""
        if not self.turn.done():
            self.turn.set_exception(_busy())


class CallQueue:
    """A small pool of threads. A site gets at most half of them, and its uploads one less than that."""

    def __init__(self, threads: int, *, waiting: int = 1024) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._most = max(1, threads // 2)
        self._most_uploads = max(1, self._most - 1)
        self._free = threads
        self._running: Counter[tuple[str, bool]] = Counter()
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._places = Places(waiting, kind="calls")

    async def run(self, site: str, work: Callable[[], T], *, upload: bool = False) -> T:
        """What `work` returns, in a thread; ServerBusy when none came free in time."""
        before = any(one.upload <= upload for one in self._waiting.get(site, ()))
        if before or not self._may_run(site, upload=upload):
            await self._wait(site, upload=upload)
        else:
            self._start(site, upload=upload)
        running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        running.add_done_callback(lambda _: self._end(site, upload=upload))
        return await running

    def close(self) -> None:
        """Take no more calls; those that run are left to end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _may_run(self, site: str, *, upload: bool) -> bool:
        if upload and self._running[site, True] >= self._most_uploads:
            return False
        return self._free > 0 and self._threads_of(site) < self._most

    def _start(self, site: str, *, upload: bool) -> None:
        self._free -= 1
        self._running[site, upload] += 1

    async def _wait(self, site: str, *, upload: bool) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(upload, turn)
        place = self._places.take(site, waiting.give_up)
        if place is None:
            raise _busy()
        self._waiting.setdefault(site, deque()).append(waiting)
        try:
            await asyncio.wait([turn], timeout=UPLOAD_SECONDS if upload else CALL_SECONDS)
        finally:
            self._leave(site, waiting, place)
        if not turn.done():
            raise _busy()
        turn.result()

    def _leave(self, site: str, waiting: _Waiting, place: Place) -> None:
        self._places.leave(place)
        line = self._waiting.get(site)
        if line and waiting in line:
            line.remove(waiting)
        if line is not None and not line:
            del self._waiting[site]

    def _end(self, site: str, *, upload: bool) -> None:
        self._free += 1
        self._running[site, upload] -= 1
        if not self._running[site, upload]:
            del self._running[site, upload]
        self._call_next()

    def _call_next(self) -> None:
        """The site with the fewest running calls is next, of equal ones the one whose turn is longest ago."""
        for site in sorted(self._waiting, key=self._threads_of):
            for upload in (False, True):
                if self._may_run(site, upload=upload) and self._give_turn(site, upload=upload):
                    self._waiting[site] = self._waiting.pop(site)
                    return

    def _give_turn(self, site: str, *, upload: bool) -> bool:
        for waiting in self._waiting[site]:
            if waiting.upload is upload and not waiting.turn.done():
                self._start(site, upload=upload)
                waiting.turn.set_result(None)
                return True
        return False

    def _threads_of(self, site: str) -> int:
        return self._running[site, True] + self._running[site, False]


def _busy() -> ServerBusy:
    return ServerBusy("All request threads are busy; send it again in a few seconds", retry_after_seconds=2)
