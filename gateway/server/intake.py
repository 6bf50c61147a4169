"""A request on its way to the application: its body taken, its caller's site known, its environment made."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any

from flask import Flask

from contracts.errors import TooLarge
from gateway.http.errors import Malformed, ServerBusy
from gateway.server.admission import Admitted, admit
from gateway.server.bodies import SMALL, Incoming, Receive, TooMuch
from gateway.server.call_queue import CallQueue
from gateway.server.callers import Callers
from gateway.server.guard import STATE
from gateway.server.handover import BODY, FRONT
from gateway.server.places import Places
from gateway.server.wsgi import Environ, HttpAnswer, Scope, environ_of, header
from gateway.uploads.spool import Sent
from imaging.sniff import PEEK
from runtime.blobs import BlobStore

_JSON = b"application/json"


@dataclass
class Taken:
    """What a call of the application needs. heavy: it brings bytes that somebody has to unpack."""

    site: str
    body: IO[bytes]
    size: int | None
    heavy: bool = False
    carried: dict[str, Any] = field(default_factory=dict)

    def environ(self, scope: Scope) -> Environ:
        """The call's environment."""
        return {**environ_of(scope, self.body, self.size), FRONT: True, **self.carried}


class Intake:
    """Of one process. What the application refuses from a request's head is never taken."""

    def __init__(self, app: Flask, blobs: BlobStore, queue: CallQueue, *, uploads: int) -> None:
        self._app, self._blobs, self._queue = app, blobs, queue
        self._places = Places(uploads, kind="uploads")
        self._disk = ThreadPoolExecutor(2, thread_name_prefix="spool")
        self.callers = Callers()

    async def take(self, scope: Scope, receive: Receive) -> Taken | HttpAnswer:
        """The request with its body, or the answer that its head earned."""
        check_head(scope)
        site, declared = self.callers.site_of(scope), declared_bytes(scope)
        if declared == 0:
            return Taken(site, io.BytesIO(), 0 if header(scope, b"content-length") else None)
        incoming = Incoming(receive, self._disk)
        if declared is None or declared <= SMALL:
            await incoming.read(SMALL + 1)
            if incoming.is_whole:
                heavy = not (header(scope, b"content-type") or b"").startswith(_JSON)
                return Taken(site, incoming.in_memory(), incoming.size_bytes, heavy)
        admitted = await self._admit(scope, site, declared)
        if isinstance(admitted, HttpAnswer):
            return admitted
        scope["state"][STATE].admit()
        self.callers.remember(scope, admitted.site)
        site = admitted.site or site
        await incoming.read(PEEK)
        if admitted.refuses(incoming.first):
            return Taken(site, incoming.in_memory(), incoming.size_bytes, True, admitted.carried)
        sent = await self._spool(incoming, admitted, site)
        carried = {**admitted.carried, BODY: sent} if admitted.raw else admitted.carried
        return Taken(site, sent.file, sent.size_bytes, True, carried)

    async def _admit(self, scope: Scope, site: str, declared: int | None) -> Admitted | HttpAnswer:
        environ = {**environ_of(scope, io.BytesIO(), declared), FRONT: True}
        return await self._queue.run(site, partial(admit, self._app, environ))

    async def _spool(self, incoming: Incoming, admitted: Admitted, site: str) -> Sent:
        """Within the site's share of places; the oldest upload of the site that holds most is given up."""
        spooling = asyncio.ensure_future(
            incoming.spool(self._blobs, admitted.most_bytes, hashed=admitted.raw)
        )
        place = self._places.take(site, spooling.cancel)
        try:
            if place is None:
                raise _crowded()
            return await spooling
        except asyncio.CancelledError:
            if spooling.cancelled():
                raise _crowded() from None
            raise
        except TooMuch:
            most = admitted.most_bytes
            raise TooLarge(
                f"The request has more than {most} bytes; {most} are taken", limit_bytes=most
            ) from None
        finally:
            spooling.cancel()
            if place:
                self._places.leave(place)


def check_head(scope: Scope) -> None:
    """Malformed unless the request names its host once, which decides what links and origins mean."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1 or (not hosts and scope["http_version"] == "1.1"):
        raise Malformed("The request needs one Host header; send exactly one")


def declared_bytes(scope: Scope) -> int | None:
    """Bytes of the body as the head declares them, None for a chunked one."""
    names = {name for name, _ in scope["headers"]}
    if b"transfer-encoding" in names:
        return None
    text = header(scope, b"content-length")
    return int(text) if text and text.isdigit() else 0


def _crowded() -> ServerBusy:
    return ServerBusy(
        "As many uploads are on their way as this server takes at once; send it again later",
        retry_after_seconds=5,
    )
