"""A small HTTP server that takes webhooks: checks size and signature, and hands the event to one function."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from client.errors import BadSignature, ClientError
from client.webhooks import verify

_log = logging.getLogger("hippocamp.hooks")
_MOST_BODY = 1 << 16


@dataclass(frozen=True)
class Event:
    """A webhook whose signature is right; `message_id` is the same at every attempt to deliver it."""

    message_id: str
    body: dict[str, Any]

    @property
    def type(self) -> str:
        """Such as job.succeeded."""
        return str(self.body["type"])

    @property
    def job_id(self) -> str:
        """The job it is about."""
        return str(self.body["data"]["job_id"])


Take = Callable[[Event], None]


class HookServer(ThreadingHTTPServer):
    """Answers 200 once `take` has returned, 401 to strangers, 503 when it raised: the outbox tries again.

    With port 0 the system chooses one; `server_port` tells.
    """

    daemon_threads = False  # an answer under way is finished before the process ends

    def __init__(self, host: str, port: int, *, secret: str, take: Take) -> None:
        super().__init__((host, port), _Handler)
        self.secret, self.take = secret, take


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server: HookServer

    def do_POST(self) -> None:
        """Check, hand over, answer."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY:
            self._answer(413, "no length, or too long")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = verify(self.rfile.read(int(length)), headers, self.server.secret)
        except (BadSignature, ValueError) as error:
            _log.warning("hook.refused", extra={"why": str(error)})
            self._answer(401, "the signature is not right")
            return
        self._hand_over(Event(headers["webhook-id"], body))

    def _hand_over(self, event: Event) -> None:
        try:
            self.server.take(event)
        except ClientError as error:
            _log.warning("hook.not_done", extra={"job": event.job_id, "why": str(error)})
            self._answer(503, "not now; send it again")
        else:
            self._answer(200, "taken")

    def _answer(self, status: int, text: str) -> None:
        body = json.dumps({"detail": text}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing; what matters is logged as events."""
