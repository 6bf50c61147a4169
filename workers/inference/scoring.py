"""Scoring a batch so that one bad volume fails alone, and a sick server fails none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from contracts.errors import ModelNotServed, ModelRefused, ModelServerUnavailable
from workers.inference.model_server import Answer, BatchRefused

Stack = TypeVar("Stack")
Predict = Callable[[Sequence[Stack]], list[Answer]]
Control = Callable[[], bool]


def score(predict: Predict[Stack], stacks: Sequence[Stack], *, healthy: Control) -> list[Answer | Exception]:
    """One answer or error per stack, in order; a stack is whatever `predict` takes.

    1. All stacks go out in one request; usually that is all.
    2. A refused request is halved until each guilty stack stands alone.

           [a b C d]  ->  [a b] ok   [C d]  ->  [C] refused   [d] ok

    3. A stack is guilty only if the server passes a control request right after it; else the server is at
       fault, and this stack and all not yet answered get ModelServerUnavailable.
    """
    try:
        return list(predict(stacks))
    except (ModelServerUnavailable, ModelNotServed) as error:
        return [error] * len(stacks)
    except BatchRefused as error:
        if not healthy():
            return [ModelServerUnavailable(f"Fails the control request after: {error}")] * len(stacks)
        if len(stacks) == 1:
            return [ModelRefused(str(error))]
    middle = len(stacks) // 2
    first = score(predict, stacks[:middle], healthy=healthy)
    return first + score(predict, stacks[middle:], healthy=healthy)
