"""A request's body on its way in: small ones stay in memory, larger ones go to a file without a name.

The event loop only moves pieces; two threads hash and write them. Only waiting counts against a client.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

from contracts.errors import StoreUnavailable
from gateway.http.errors import TooSlow
from gateway.server.unread import LEAST_RATE
from gateway.uploads.spool import Sent, open_nameless
from runtime.blobs import BlobStore

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

GRACE_SECONDS = 10.0
"""Time the network may take for the first bytes, and be ahead of LEAST_RATE at any moment after."""
SMALL = 1 << 16
"""Bytes of a body that may lie in memory; also the most that a call takes which is no upload."""
_BATCH = 1 << 20


class ClientGone(Exception):  # noqa: N818  named for what happened
    """The connection ended before its request was whole."""


class TooMuch(Exception):  # noqa: N818  named for what happened
    """More bytes have come than the request may have."""


class Incoming:
    """One body. `read` collects what fits into memory; `spool` takes all of it."""

    def __init__(self, receive: Receive, disk: ThreadPoolExecutor) -> None:
        self._receive, self._disk = receive, disk
        self._pieces: list[bytes] = []
        self._held = 0
        self.size_bytes = 0
        self.is_whole = False
        self._waited = 0.0

    @property
    def first(self) -> bytes:
        """What lies in memory."""
        return b"".join(self._pieces)

    async def read(self, size: int) -> None:
        """Receive until at least `size` bytes have come, or all; TooSlow, ClientGone."""
        while not self.is_whole and self.size_bytes < size:
            message = await self._next()
            piece = message.get("body", b"")
            if piece:
                self._pieces.append(piece)
                self._held += len(piece)
                self.size_bytes += len(piece)
            self.is_whole = not message.get("more_body")

    async def spool(self, blobs: BlobStore, most_bytes: int, *, hashed: bool) -> Sent:
        """All of the body in a file on the store's disk; TooMuch, TooSlow, ClientGone, StoreUnavailable.

        DiskNearlyFull as soon as what is on its way would take the last of the disk from Redis.
        """
        digest = hashlib.sha256() if hashed else None
        file = await asyncio.wrap_future(self._disk.submit(open_nameless, blobs))
        putting = self._disk.submit(file.flush)
        try:
            while not self.is_whole or self._pieces:
                await self.read(self.size_bytes + _BATCH - self._held)
                if self.size_bytes > most_bytes:
                    raise TooMuch
                pieces, self._pieces, self._held = self._pieces, [], 0
                putting = self._disk.submit(_put, file, pieces, digest, blobs)
                await asyncio.wrap_future(putting)
        except BaseException:
            # Not while a thread writes to it: the number of a closed file is soon that of another.
            putting.add_done_callback(lambda _: self._disk.submit(_close, file))
            raise
        file.seek(0)
        return Sent(file, self.size_bytes, digest.hexdigest() if digest else "")

    async def _next(self) -> MutableMapping[str, Any]:
        loop = asyncio.get_running_loop()
        left, began = GRACE_SECONDS + self.size_bytes / LEAST_RATE - self._waited, loop.time()
        try:
            async with asyncio.timeout(max(left, 0)):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow(
                "The body comes more slowly than 16 KiB a second; send it over a faster way"
            ) from None
        self._waited += loop.time() - began
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message

    def in_memory(self) -> IO[bytes]:
        """What came, as a file."""
        return io.BytesIO(self.first)


def _put(file: IO[bytes], pieces: list[bytes], digest: Any, blobs: BlobStore) -> None:
    """Bodies that are on their way were admitted while there was room; together they may need more."""
    blobs.check_space()
    try:
        for piece in pieces:
            if digest is not None:
                digest.update(piece)
        left = [memoryview(piece) for piece in pieces]
        while left:
            left = _without(left, os.writev(file.fileno(), left[:512]))
    except OSError as error:
        raise StoreUnavailable(f"The upload cannot be spooled: {error.strerror or error}") from error


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):
        file.close()


def _without(pieces: list[memoryview], written: int) -> list[memoryview]:
    """What is left of the pieces after so many bytes of them."""
    for at, piece in enumerate(pieces):
        if written < len(piece):
            return [piece[written:], *pieces[at + 1 :]]
        written -= len(piece)
    return []
