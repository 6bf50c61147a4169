"""A job that computes too long is refused; one that only waits is not, and the timer does not outlive it."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from contracts.errors import TooLarge
from preprocessing_service.cpu_limit import within_cpu


def spin(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_computing_too_long_is_a_code() -> None:
    with pytest.raises(TooLarge, match=r"more than 0.2 s of computing") as caught, within_cpu(0.2):
        spin(5)
    assert caught.value.code == "input.too_large"
    assert not caught.value.retryable


def test_waiting_costs_nothing_and_the_timer_ends_with_the_job() -> None:
    before = signal.getsignal(signal.SIGPROF)
    with within_cpu(0.2):
        time.sleep(0.4)
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGPROF) == before
    spin(0.4)


def test_no_limit_and_other_threads() -> None:
    with within_cpu(0):
        spin(0.1)
    thread = threading.Thread(target=lambda: within_cpu(1).__enter__())
    thread.start()
    thread.join()
