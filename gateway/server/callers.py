"""Whose turn a request takes: its site's once the same credentials were good, before that its address's."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.server.wsgi import Scope, header

REMEMBER_SECONDS = 300.0
_MOST = 4096


class Callers:
    """Nothing is allowed by this memory; it only decides which queue a request waits in.

    Used on the event loop only. Credentials are kept as their SHA-256.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def site_of(self, scope: Scope) -> str:
        """The site, or a name for a stranger that no site can have."""
        mark = _mark(scope)
        site, until = self._known.get(mark, ("", 0.0)) if mark else ("", 0.0)
        if site and self._clock() < until:
            return site
        return f"stranger {(scope.get('client') or ('',))[0]}"

    def remember(self, scope: Scope, site: str) -> None:
        """The application has found these credentials to be good."""
        mark = _mark(scope)
        if not mark or not site:
            return
        self._known[mark] = (site, self._clock() + REMEMBER_SECONDS)
        self._known.move_to_end(mark)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)


def _mark(scope: Scope) -> bytes:
    text = header(scope, b"authorization") or header(scope, b"cookie")
    return hashlib.sha256(text).digest() if text else b""
