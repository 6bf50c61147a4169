"""A flood of health questions costs one answer at a time, and none is older than its question."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from gateway.server.health import HealthAnswers
from gateway.server.wsgi import Answer, Environ


def scope(path: str, query: str = "", method: str = "GET") -> dict[str, Any]:
    return {"path": path, "query_string": query.encode(), "method": method}


class Maker:
    """Counts how often it is called; every answer carries its number."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, environ: Environ) -> Answer:
        with self._lock:
            self.asked.append(f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}")
            return Answer(200, [], str(len(self.asked)).encode())


def test_many_who_ask_at_once_share_an_answer_and_the_next_is_a_new_one() -> None:
    maker = Maker()

    async def scene() -> None:
        health = HealthAnswers(maker)
        answers = await asyncio.gather(*[health.answer(scope("/metrics")) for _ in range(200)])
        assert {answer.body for answer in answers} == {b"1"}
        assert (await health.answer(scope("/metrics"))).body == b"2"

    asyncio.run(scene())


def test_names_in_another_order_are_the_same_question() -> None:
    maker = Maker()

    async def scene() -> None:
        health = HealthAnswers(maker)
        await asyncio.gather(
            health.answer(scope("/readyz", "only=line,blobs")),
            health.answer(scope("/readyz", "only=blobs,line")),
        )

    asyncio.run(scene())
    assert maker.asked == ["/readyz?only=blobs,line"]


def test_whether_the_process_lives_is_asked_of_nobody() -> None:
    maker = Maker()
    assert asyncio.run(HealthAnswers(maker).answer(scope("/livez"))).body == b'{"alive":true}'
    assert maker.asked == []


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (scope("/readyz"), True),
        (scope("/readyz", "only=line"), True),
        (scope("/readyz", "only=nonsense"), False),
        (scope("/readyz", "only=line&only=blobs"), False),
        (scope("/metrics", method="POST"), False),
        (scope("/v1/jobs"), False),
    ],
)
def test_what_is_strange_is_the_applications(asked: dict[str, Any], taken: bool) -> None:
    assert HealthAnswers(Maker()).takes(asked) is taken
