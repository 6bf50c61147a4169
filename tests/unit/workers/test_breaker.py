"""The breaker opens after failures in a row, lets one job try after a pause, and closes on success."""

from __future__ import annotations

from workers.inference.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_opens_half_opens_closes() -> None:
    clock = Clock()
    breaker = Breaker(threshold=2, pause_seconds=5, clock=clock)
    breaker.failed()
    assert breaker.allowance(8) == 8
    breaker.failed()
    assert breaker.allowance(8) == 0
    clock.now = 5
    assert breaker.allowance(8) == 1
    breaker.failed()
    assert breaker.allowance(8) == 0
    clock.now = 10
    assert breaker.allowance(8) == 1
    breaker.succeeded()
    assert breaker.allowance(8) == 8


def test_single_failures_between_successes_never_open_it() -> None:
    breaker = Breaker(threshold=2)
    for _ in range(10):
        breaker.failed()
        breaker.succeeded()
    assert breaker.allowance(3) == 3
