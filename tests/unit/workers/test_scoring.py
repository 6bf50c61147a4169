"""Bisection: only guilty stacks fail, whatever their places in the batch; a sick server fails nobody."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ModelRefused, ModelServerUnavailable
from workers.inference.model_server import BatchRefused
from workers.inference.scoring import score


class Server:
    """Refuses any batch that holds a guilty stack; counts requests."""

    def __init__(self, guilty: set[int]) -> None:
        self.guilty = guilty
        self.requests = 0

    def predict(self, stacks: Sequence[int]) -> list:
        self.requests += 1
        if self.guilty & set(stacks):
            raise BatchRefused("HTTP 500")
        return [("answer", n) for n in stacks]


def stacks(n: int) -> list[int]:
    return list(range(n))


@given(st.integers(1, 16).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_exactly_the_guilty_fail(case: tuple[int, set[int]]) -> None:
    n, guilty = case
    server = Server(guilty)
    answers = score(server.predict, stacks(n), healthy=lambda: True)
    for i, answer in enumerate(answers):
        assert isinstance(answer, ModelRefused) if i in guilty else answer == ("answer", i)
    assert server.requests <= 2 * n - 1


def test_a_whole_batch_is_one_request() -> None:
    server = Server(set())
    score(server.predict, stacks(8), healthy=lambda: pytest.fail("a good answer needs no control"))
    assert server.requests == 1


def test_a_server_that_fails_the_control_blames_nobody() -> None:
    server = Server({2})
    answers = score(server.predict, stacks(4), healthy=lambda: False)
    assert [type(a) for a in answers] == [ModelServerUnavailable] * 4


def test_a_server_that_goes_away_during_bisection_keeps_what_was_answered() -> None:
    calls = []

    def predict(batch: Sequence[int]) -> list:
        calls.append(len(batch))
        if len(calls) == 1:
            raise BatchRefused("HTTP 507")
        if len(calls) == 2:
            return list(batch)
        raise ModelServerUnavailable("HTTP 503")

    answers = score(predict, stacks(4), healthy=lambda: True)
    assert answers[:2] == [0, 1]
    assert all(isinstance(a, ModelServerUnavailable) for a in answers[2:])
