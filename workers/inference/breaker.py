"""A circuit breaker: after some failures in a row, leave a dependency alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workers.metrics import record_breaker, record_breaker_closed


@dataclass
class Breaker:
    """Closed -> (`threshold` failures) open -> (`pause_seconds`) half open -> closed or open again.

    failures  0 1 2 3      3         3      4    0
    allowed   8 8 8 0 ...  0   then  1  ->  0 or 8     (of a batch of 8)
    """

    threshold: int = 3
    pause_seconds: float = 5.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    failures: int = 0
    opened_at: float = 0.0

    def allowance(self, batch: int) -> int:
        """How many jobs may be tried now: all, one as a trial, or none."""
        if self.failures < self.threshold:
            return batch
        return 1 if self.clock() - self.opened_at >= self.pause_seconds else 0

    def succeeded(self) -> None:
        """The dependency worked."""
        if self.failures >= self.threshold:
            record_breaker_closed()
        self.failures = 0

    def failed(self) -> None:
        """It did not, for a reason that lies with it."""
        self.failures += 1
        self.opened_at = self.clock()
        if self.failures == self.threshold:
            record_breaker()
