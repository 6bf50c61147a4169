"""A network between Redis and its clients that is late, loses requests and replies, and breaks off.

TCP neither repeats nor reorders the bytes of one connection. What a client meets as a doubled or overtaken
request is made of two connections: a request that is late reaches Redis although its sender gave up, after
the sender's repetition on a new connection; a reply that is lost has its request executed again. So the relay
delays, cuts and swallows, and leaves the repetition to the real clients.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import StrEnum
from typing import Any, Self

from redis import Redis

from jobstore.scripts import Scripts

_SCRIPT = re.compile(rb"\*\d+\r\n\$7\r\nEVALSHA\r\n\$40\r\n([0-9a-f]{40})\r\n")
_WAIT = re.compile(rb"\*3\r\n\$4\r\nWAIT\r\n")
_PIECE = 1 << 20
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Fate(StrEnum):
    """What happens to one request."""

    PASS = "pass"
    LATE = "request late"
    """It reaches Redis after `seconds`, also when its sender has gone away meanwhile."""
    REPLY_LATE = "reply late"
    LOST = "request lost"
    """The connection breaks before it is sent on."""
    REPLY_LOST = "reply lost"
    """The connection breaks after Redis has answered."""
    CUT_AT_WAIT = "cut at WAIT"
    """The connection breaks between a script and the WAIT behind it."""


Judge = Callable[[str, bytes], tuple[Fate, float]]
"""Name of the script, "" for another command, and the request's bytes -> its fate, and seconds of delay."""


def let_pass(_: str, __: bytes) -> tuple[Fate, float]:
    """A network without faults."""
    return Fate.PASS, 0.0


class Relay:
    """Listens on `port`, speaks to a server of this machine. `judge` may be changed while it runs.

    seen: (script, fate) -> how often. silent: while it is set, nothing passes, and no connection breaks.
    """

    def __init__(self, server_port: int, *, port: int = 0, judge: Judge = let_pass) -> None:
        self.judge, self.server_port, self.port = judge, server_port, port
        self.seen: Counter[tuple[str, Fate]] = Counter()
        self._names = {sha.encode(): name for name, sha in Scripts(Redis()).digests().items()}
        self._flows = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._flows.set()
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        """Of Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def silence(self, *, on: bool) -> None:
        """Hold everything back, or let it flow again."""
        self._loop.call_soon_threadsafe(self._flows.clear if on else self._flows.set)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, *client: Any) -> None:
        try:
            server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            client[1].transport.abort()
            return
        link = _Link(self, client, server)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(link.requests(), link.replies())

    async def flow(self) -> None:
        """Returns when the network is not silent."""
        await self._flows.wait()

    def decide(self, request: bytes) -> tuple[Fate, float]:
        """The judgement, noted; what holds several scripts is judged by its first."""
        found = _SCRIPT.search(request)
        name = self._names.get(found[1], "another script") if found else ""
        fate, seconds = self.judge(name, request)
        if fate is not Fate.PASS:
            self.seen[name, fate] += 1
        return fate, seconds


class _Link:
    """One connection of a client, and the relay's own to the server for it."""

    def __init__(self, relay: Relay, client: _Streams, server: _Streams) -> None:
        self.relay = relay
        self.client_in, self.client_out = client
        self.server_in, self.server_out = server
        self.reply_after = 0.0
        self.swallows = False

    async def requests(self) -> None:
        """Every piece that the client sends, each with its fate."""
        try:
            while request := await self.client_in.read(_PIECE):
                fate, seconds = self.relay.decide(request)
                await self.relay.flow()
                if fate is Fate.LOST:
                    break
                if fate is Fate.LATE:
                    await asyncio.sleep(seconds)
                self.swallows = fate is Fate.REPLY_LOST
                self.reply_after = seconds if fate is Fate.REPLY_LATE else 0.0
                if fate is Fate.CUT_AT_WAIT and (at := _WAIT.search(request)):
                    self.server_out.write(request[: at.start()])
                    await self.server_out.drain()
                    break
                self.server_out.write(request)
                await self.server_out.drain()
        except OSError:
            pass
        finally:
            self.client_out.transport.abort()
            self.server_out.close()

    async def replies(self) -> None:
        """Every piece that the server sends."""
        try:
            while reply := await self.server_in.read(_PIECE):
                await asyncio.sleep(self.reply_after)
                await self.relay.flow()
                if self.swallows:
                    break
                self.client_out.write(reply)
                await self.client_out.drain()
        except OSError:
            pass
        finally:
            self.client_out.transport.abort()
            self.server_out.close()
