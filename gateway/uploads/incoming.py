"""What a submission asks of one volume on its way in, whichever call it came by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Protocol

from gateway.uploads.sanitize.task import Cleaned
from gateway.uploads.spool import Sent
from imaging.sniff import Sniffed


class Incoming(Protocol):
    """One volume on its way in; `sniffed` and `options` are complete once `chunks` is exhausted."""

    @property
    def sniffed(self) -> Sniffed | None:
        """The container the bytes were recognised as."""

    @property
    def options(self) -> Mapping[str, str]:
        """What the caller asked for."""

    @property
    def announced_bytes(self) -> int | None:
        """How many bytes are to come, None when that is not known."""

    def whole(self) -> Sent | None:
        """The bytes when they lie in a file already; raises the InputError they earn. None: ask `chunks`."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The bytes, a piece good until the next is asked for; raises the InputError they earn."""

    def clean(self, sent: Sent, out: IO[bytes]) -> Cleaned:
        """Write to `out` what of the bytes may be stored; raises the InputError they earn.

        What needs no unpacking can be cleaned where it lies: `out` is `sent.file` then.
        """
