"""How many connections a process holds, in all and of one address, and which make room for newcomers.

Idle ones do, and those whose request is not whole yet; where there is none, one of the address with most.
"""

from __future__ import annotations

from collections import defaultdict
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
        self._held: defaultdict[str, dict[Connection, None]] = defaultdict(dict)
        self._idle: defaultdict[str, dict[Connection, None]] = defaultdict(dict)
        self._proxies: set[str] = set()

    @property
    def total(self) -> int:
        """All that are open."""
        return sum(len(held) for held in self._held.values())

    def enter(self, one: Connection) -> bool:
        """Count a new connection; False when it must be ended because no other could make room."""
        address, is_proxy = one.address, self._exempt(one.address)
        if self._count(address) >= self._each and not is_proxy:
            room = self._end_oldest(self._idle, address)
        elif self.total >= self._most:
            idlest = max(self._idle, key=lambda each: len(self._idle[each]), default="")
            room = self._end_oldest(self._idle, idlest) or self._displace_for(address)
        else:
            room = True
        self._held[address][one] = None
        if is_proxy:
            self._proxies.add(address)
        return room

    def leave(self, one: Connection) -> None:
        """A connection has ended."""
        self.work(one)
        _drop(self._held, one)
        if one.address not in self._held:
            self._proxies.discard(one.address)

    def rest(self, one: Connection) -> None:
        """No request of it is being served, or none that has come whole."""
        self._idle[one.address][one] = None

    def work(self, one: Connection) -> None:
        """A request of it is being served."""
        _drop(self._idle, one)

    def _count(self, address: str) -> int:
        return len(self._held.get(address, ()))

    def _displace_for(self, address: str) -> bool:
        """By the rule of `Places`; a proxy's are those of many clients, so that it never holds too many."""
        most = max(self._held.keys() - self._proxies, key=self._count, default=None)
        if most is None or self._count(most) < self._count(address) + 2:
            return False
        return self._end_oldest(self._held, most)

    def _end_oldest(self, among: _ByAddress, address: str) -> bool:
        oldest = next(iter(among.get(address, ())), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.abort("displaced")
        return True


_ByAddress = defaultdict[str, dict[Connection, None]]


def _drop(among: _ByAddress, one: Connection) -> None:
    """Take it out, if it is there; no address stays for nothing."""
    mine = among.get(one.address)
    if mine is None:
        return
    mine.pop(one, None)
    if not mine:
        del among[one.address]
