"""No site holds all threads, turns go by site, and who waits too long is told so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.http.errors import ServerBusy
from gateway.server import call_queue
from gateway.server.call_queue import CallQueue


class Gate:
    """Work that goes on until it is opened; `order` is the sequence in which it began."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self._open = threading.Event()

    def work(self, name: str) -> Callable[[], str]:
        def run() -> str:
            self.order.append(name)
            assert self._open.wait(10)
            return name

        return run

    def open(self) -> None:
        self._open.set()


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


async def settle() -> None:
    await asyncio.sleep(0.1)


def test_a_site_gets_half_of_the_threads_and_its_uploads_one_less() -> None:
    async def scene() -> None:
        queue, gate = CallQueue(8), Gate()
        uploads = [asyncio.ensure_future(queue.run("a", gate.work("u"), upload=True)) for _ in range(9)]
        await settle()
        assert gate.order == ["u"] * 3
        calls = [asyncio.ensure_future(queue.run("a", gate.work("c"))) for _ in range(3)]
        await settle()
        assert gate.order == ["u"] * 3 + ["c"]
        others = [asyncio.ensure_future(queue.run("b", gate.work("b"))) for _ in range(4)]
        await settle()
        assert gate.order[4:] == ["b"] * 4
        gate.open()
        assert sorted(await asyncio.gather(*uploads, *calls, *others)) == ["b"] * 4 + ["c"] * 3 + ["u"] * 9
        queue.close()

    run(scene())


def test_of_those_that_wait_the_site_with_the_fewest_threads_is_next() -> None:
    async def scene() -> None:
        queue, first = CallQueue(2), Gate()
        held = [asyncio.ensure_future(queue.run(site, first.work(site))) for site in ("a", "b")]
        await settle()
        done = Gate()
        done.open()
        waiting = [asyncio.ensure_future(queue.run("a", done.work("a"))) for _ in range(3)]
        waiting += [asyncio.ensure_future(queue.run("c", done.work("c")))]
        await settle()
        first.open()
        await asyncio.gather(*held, *waiting)
        assert "c" in done.order[:2], "one call of c went before the third of a"
        queue.close()

    run(scene())


def test_who_waits_too_long_is_told_503_and_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_queue, "CALL_SECONDS", 0.1)

    async def scene() -> None:
        queue, gate = CallQueue(1), Gate()
        held = asyncio.ensure_future(queue.run("a", gate.work("a")))
        await settle()
        with pytest.raises(ServerBusy) as busy:
            await queue.run("b", gate.work("b"))
        assert (busy.value.status, busy.value.figures["retry_after_seconds"]) == (503, 2)
        gate.open()
        await held
        assert await queue.run("b", gate.work("again")) == "again"
        queue.close()

    run(scene())


def test_a_full_queue_gives_up_the_oldest_of_the_site_that_waits_most() -> None:
    async def scene() -> None:
        queue, gate = CallQueue(1, waiting=3), Gate()
        held = asyncio.ensure_future(queue.run("x", gate.work("x")))
        await settle()
        crowd = [asyncio.ensure_future(queue.run("a", gate.work(f"a{n}"))) for n in range(3)]
        await settle()
        newcomer = asyncio.ensure_future(queue.run("b", gate.work("b")))
        await settle()
        assert isinstance(crowd[0].exception(), ServerBusy)
        with pytest.raises(ServerBusy):
            await queue.run("a", gate.work("a3"))
        gate.open()
        assert await asyncio.gather(held, newcomer, *crowd[1:]) == ["x", "b", "a1", "a2"]
        queue.close()

    run(scene())


def test_work_that_fails_gives_its_thread_back() -> None:
    async def scene() -> None:
        queue = CallQueue(1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await queue.run("a", lambda: 1 // 0)
        queue.close()

    run(scene())
