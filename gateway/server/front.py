"""The ASGI application: everything that a client can make wait, around the unchanged Flask application.

1. /livez, /readyz and /metrics are answered without request threads (health.py).
2. A request's body is taken on the event loop; large ones are admitted from their head first (intake.py).
3. Its call waits for a thread in its site's turn (call_queue.py). The view returns at once.
4. What waits for a job then, waits here: event streams and `Prefer: wait` (follow.py).
5. The answer is sent within the time that a client may take (replies.py).
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import IO, Any

from flask import Flask

from contracts.errors import HippocampError
from gateway.http.errors import NoSuchPage, ServerBusy
from gateway.monitoring.metrics import count_request
from gateway.monitoring.readiness import CHECKS
from gateway.resources import Resources
from gateway.server.bodies import ClientGone, Receive
from gateway.server.call_queue import CallQueue
from gateway.server.follow import Following
from gateway.server.guard import OPS_PORTS, STATE, UPGRADE, Guard
from gateway.server.handover import FOLLOW, SITE
from gateway.server.health import PATHS, HealthAnswers
from gateway.server.held_answers import Stream, Wait
from gateway.server.hub import Hub
from gateway.server.intake import Intake
from gateway.server.places import Places
from gateway.server.replies import Reply, Send
from gateway.server.settings import ServerSettings
from gateway.server.wsgi import Environ, HttpAnswer, Scope, call

_log = logging.getLogger("hippocamp.gateway")

_LARGE = ((1 << 20, 32), (1 << 16, 256))
"""Bytes of an answer -> how many of at least this size may be on their way at a time."""


class Front:
    """Serves requests of one process; the process's start and end are gateway.server.process's."""

    def __init__(self, app: Flask, to: Resources, settings: ServerSettings) -> None:
        self._app = app
        self.queue = CallQueue(settings.threads)
        self.hub = Hub(to.job_store)
        self._intake = Intake(app, to.blobs, self.queue, uploads=settings.uploads)
        self._following = Following(self.hub, streams=settings.streams, waits=settings.waits)
        self._health = HealthAnswers(partial(call, app), lambda name: CHECKS[name](to))
        self._answers = [(least, Places(count, kind="answers")) for least, count in _LARGE]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        guard: Guard = scope["state"][STATE]
        reply = Reply(send, guard, last=scope["state"][UPGRADE])
        try:
            await self._serve(scope, receive, reply, guard)
        except ClientGone:
            pass
        except HippocampError as error:
            await self._fail(scope, reply, guard, error)
        except Exception as error:  # noqa: BLE001  answered as 500; only its class is safe to log
            _log.error("request.failed", extra={"error": type(error).__name__})
            failed = HippocampError("An error that nobody foresaw; tell your operator")
            await self._fail(scope, reply, guard, failed)
        if guard.is_over:
            await guard.gone.wait()

    async def _serve(self, scope: Scope, receive: Receive, reply: Reply, guard: Guard) -> None:
        if self._health.takes(scope):
            await reply.whole(await self._health.answer(scope))
            return
        if _is_ops(scope) and scope["path"] not in PATHS:
            raise NoSuchPage(f"This port answers {', '.join(sorted(PATHS))} alone")
        taken = await self._intake.take(scope, receive)
        if isinstance(taken, HttpAnswer):
            await reply.whole(taken)
            return
        try:
            work = partial(_call, self._app, taken.environ(scope), taken.body)
            answer = await self.queue.run(taken.site, work, upload=taken.heavy)
        except ServerBusy:
            await asyncio.get_running_loop().run_in_executor(None, taken.body.close)  # it frees a large file
            raise
        self._intake.callers.remember(scope, answer.environ.get(SITE, ""))
        follow = answer.environ.pop(FOLLOW, None)
        if isinstance(follow, Stream):
            await self._following.stream(follow, answer, reply, guard)
            return
        if isinstance(follow, Wait):
            answer = await self._following.wait(follow, answer, guard)
        await self._send(answer, reply, guard, taken.site)

    async def _send(self, answer: HttpAnswer, reply: Reply, guard: Guard, site: str) -> None:
        """Large answers lie in memory until they are taken: so many at a time, and no more."""
        places = next((these for least, these in self._answers if len(answer.body) >= least), None)
        place = places.take(site, lambda: guard.abort("displaced")) if places else None
        if places and not place:
            raise ServerBusy(
                "Take the answers that you asked for before you ask for more", retry_after_seconds=5
            )
        try:
            await reply.whole(answer)
        finally:
            if places and place:
                places.leave(place)

    async def _fail(self, scope: Scope, reply: Reply, guard: Guard, error: HippocampError) -> None:
        """What never reached a view, or ended with it, is counted here."""
        count_request(scope["method"], "none", error.status, 0.0)
        if reply.started:
            guard.abort("failed")
        else:
            await reply.problem(error)


def _call(app: Flask, environ: Environ, body: IO[bytes]) -> HttpAnswer:
    """In the thread, which alone knows when it has done with the body."""
    with body:
        return call(app, environ)


def _is_ops(scope: Any) -> bool:
    server = scope.get("server") or ("", None)
    return server[1] in scope["state"][OPS_PORTS]
