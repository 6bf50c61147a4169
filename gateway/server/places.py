"""Places that sites share: when all are taken, a newcomer gets one of the site that holds most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import Counter

_displaced = Counter(
    "hippocamp_places_displaced", "Places that were taken from the site that held most", ["kind"]
)


@dataclass(eq=False)
class Place:
    """One place in use. on_lost: called when another site gets it."""

    site: str
    on_lost: Callable[[], object] = field(repr=False)


class Places:
    """Max-min fair by displacement; used on the event loop only.

    A site that holds many keeps them while nobody else asks. When all places are taken, a newcomer gets the
    oldest place of the site that holds most, if that site still holds at least as many as the newcomer after
    that: three greedy sites cannot keep a fourth out, and equal sites do not push each other around.
    """

    def __init__(self, total: int, *, kind: str) -> None:
        self.total, self._kind, self._taken = total, kind, 0
        self._held: dict[str, dict[Place, None]] = {}

    def take(self, site: str, on_lost: Callable[[], object]) -> Place | None:
        """A place for the site; None when it holds its share and all are taken."""
        if self._taken >= self.total and not self._displace_for(site):
            return None
        place = Place(site, on_lost)
        self._held.setdefault(site, {})[place] = None
        self._taken += 1
        return place

    def leave(self, place: Place) -> None:
        """Give a place back; nothing when it was lost before."""
        mine = self._held.get(place.site, {})
        if place not in mine:
            return
        del mine[place]
        self._taken -= 1
        if not mine:
            del self._held[place.site]

    def held(self, site: str) -> int:
        """How many the site holds."""
        return len(self._held.get(site, ()))

    def _displace_for(self, site: str) -> bool:
        most = max(self._held, key=self.held, default="")
        if self.held(most) < self.held(site) + 2:
            return False
        oldest = next(iter(self._held[most]))
        self.leave(oldest)
        _displaced.labels(self._kind).inc()
        oldest.on_lost()
        return True
