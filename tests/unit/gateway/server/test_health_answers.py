"""A flood of health questions costs one answer at a time, and none is older than its question."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import combinations
from typing import Any

import pytest

from gateway.http.schemas import Dependency, Readiness
from gateway.monitoring.readiness import CHECKS
from gateway.server.health import HealthAnswers
from gateway.server.wsgi import Environ, HttpAnswer


def scope(path: str, query: str = "", method: str = "GET") -> dict[str, Any]:
    return {"path": path, "query_string": query.encode(), "method": method}


class Maker:
    """Counts how often it is called; every answer carries its number. Slow dependencies take a second."""

    def __init__(self, *slow: str) -> None:
        self.asked: list[str] = []
        self._slow = slow
        self._lock = threading.Lock()

    def __call__(self, environ: Environ) -> HttpAnswer:
        return HttpAnswer(200, [], str(self._number(str(environ["PATH_INFO"]))).encode())

    def ask(self, name: str) -> Dependency:
        if name in self._slow:
            time.sleep(1)
        return Dependency(ok=name != "disk", detail=str(self._number(name)))

    def health(self) -> HealthAnswers:
        return HealthAnswers(self, self.ask)

    def _number(self, what: str) -> int:
        with self._lock:
            self.asked.append(what)
            return len(self.asked)


def test_many_who_ask_at_once_share_an_answer_and_the_next_is_a_new_one() -> None:
    maker = Maker()

    async def scene() -> None:
        health = maker.health()
        answers = await asyncio.gather(*[health.answer(scope("/metrics")) for _ in range(200)])
        assert {answer.body for answer in answers} == {b"1"}
        assert (await health.answer(scope("/metrics"))).body == b"2"

    asyncio.run(scene())


def test_whoever_asks_for_a_dependency_shares_it_whatever_else_they_ask_for() -> None:
    maker = Maker()

    async def scene() -> None:
        health = maker.health()
        one, two, _ = await asyncio.gather(
            health.answer(scope("/readyz", "only=line,blobs")),
            health.answer(scope("/readyz", "only=blobs,line")),
            health.answer(scope("/readyz", "only=audit,line")),
        )
        assert one == two

    asyncio.run(scene())
    assert sorted(maker.asked) == ["audit", "blobs", "line"]


def test_one_dependency_that_is_away_makes_the_answer_503() -> None:
    answer = asyncio.run(Maker().health().answer(scope("/readyz", "only=disk,line")))
    assert answer.status == 503
    found = Readiness.model_validate_json(answer.body)
    assert [(name, one.ok) for name, one in found.dependencies.items()] == [("line", True), ("disk", False)]


def test_a_flood_of_questions_for_a_slow_dependency_delays_no_probe_of_others() -> None:
    maker = Maker("preprocess")
    subsets = [",".join(some) for n in range(1, 7) for some in combinations(CHECKS, n)]

    async def scene() -> float:
        health = maker.health()
        flood = [asyncio.ensure_future(health.answer(scope("/readyz", f"only={one}"))) for one in subsets]
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await health.answer(scope("/readyz", "only=line,blobs,audit"))
        took = time.monotonic() - began
        await asyncio.gather(*flood)
        return took

    assert asyncio.run(scene()) < 0.8
    assert maker.asked.count("preprocess") == 1


def test_whether_the_process_lives_is_asked_of_nobody() -> None:
    maker = Maker()
    assert asyncio.run(maker.health().answer(scope("/livez"))).body == b'{"alive":true}'
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
    assert Maker().health().takes(asked) is taken
