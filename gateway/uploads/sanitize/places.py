"""Places for children that read uploads: one site never takes all of them, and nobody waits long for one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.http.errors import SandboxBusy


class Places:
    """Of one process of the gateway. A site has half of them at most, but one in any case."""

    def __init__(self, at_once: int, *, wait_seconds: float) -> None:
        self._free, self._wait_seconds = at_once, wait_seconds
        self._most_of_site = max(1, at_once // 2)
        self._held: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, site: str) -> Iterator[None]:
        """A place for as long as the block runs; SandboxBusy when there is none in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(site), self._wait_seconds):
                raise self._refusal(site)
            self._free -= 1
            self._held[site] += 1
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._held[site] -= 1
                if not self._held[site]:
                    del self._held[site]
                self._changed.notify_all()

    def _has_room(self, site: str) -> bool:
        return self._free > 0 and self._held[site] < self._most_of_site

    def _refusal(self, site: str) -> SandboxBusy:
        own = self._held[site] >= self._most_of_site
        whose = "of your site are" if own else "are"
        return SandboxBusy(f"Too many uploads {whose} being read; send it again in a few seconds")
