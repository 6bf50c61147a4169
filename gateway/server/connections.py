"""How many connections a process holds, in all and of one address; idle ones make room for newcomers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Protocol

from prometheus_client import Counter as Figure

_closed = Figure("hippocamp_connections_closed", "Connections that the server ended, by reason", ["reason"])


class Connection(Protocol):
    """What is counted here."""

    address: str

    def abort(self, reason: str) -> None:
        """End it now."""


def count_closed(reason: str) -> None:
    """Note a connection that the server ended."""
    _closed.labels(reason).inc()


class Connections:
    """Of one process. `most` in all, `each` of one address; of a proxy (`exempt`) as many as it likes."""

    def __init__(self, most: int, each: int, *, exempt: Callable[[str], bool]) -> None:
        self._most, self._each, self._exempt = most, each, exempt
        self._held: Counter[str] = Counter()
        self._idle: defaultdict[str, dict[Connection, None]] = defaultdict(dict)

    @property
    def total(self) -> int:
        """All that are open."""
        return self._held.total()

    def enter(self, one: Connection) -> bool:
        """Count a new connection; False when it must be ended because no idle one could make room."""
        address = one.address
        if self._held[address] >= self._each and not self._exempt(address):
            room = self._end_oldest(address)
        elif self.total >= self._most:
            room = self._end_oldest(max(self._idle, key=lambda each: len(self._idle[each]), default=""))
        else:
            room = True
        self._held[address] += 1
        return room

    def leave(self, one: Connection) -> None:
        """A connection has ended."""
        self.work(one)
        self._held[one.address] -= 1
        if self._held[one.address] <= 0:
            del self._held[one.address]

    def rest(self, one: Connection) -> None:
        """No request of it is being served."""
        self._idle[one.address][one] = None

    def work(self, one: Connection) -> None:
        """A request of it is being served."""
        idle = self._idle.get(one.address)
        if idle is None:
            return
        idle.pop(one, None)
        if not idle:
            del self._idle[one.address]

    def _end_oldest(self, address: str) -> bool:
        oldest = next(iter(self._idle.get(address, ())), None)
        if oldest is None:
            return False
        self.work(oldest)
        oldest.abort("displaced")
        return True
