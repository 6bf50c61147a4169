"""A webhook receiver of the chaos runs, good or bad."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

STATUS = {"ok": 204, "500": 500, "slow": 204, "redirecting": 302, "gone": 410}
SLOW_SECONDS = 6.0
"""Longer than the sender waits in the experiment with receivers."""


class Inbox:
    """Keeps (webhook id, body) of every request it answered with 2xx.

    mode: ok, 500, slow (answers after the sender's limit), redirecting (to `elsewhere`), gone (410).
    """

    def __init__(self, mode: str = "ok", *, elsewhere: str = "") -> None:
        self.got: list[tuple[str, bytes]] = []
        self.tries = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.tries += 1
                if mode == "slow":
                    time.sleep(SLOW_SECONDS)
                if mode == "ok":
                    outer.got.append((self.headers["webhook-id"], body))
                self.send_response(STATUS[mode])
                self.send_header("Location", elsewhere)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def announced(self) -> dict[str, set[str]]:
        """Job -> webhook ids under which its end came."""
        found: dict[str, set[str]] = {}
        for webhook, body in list(self.got):
            found.setdefault(json.loads(body)["data"]["job_id"], set()).add(webhook)
        return found


class Server(ThreadingHTTPServer):
    """Senders that have gone away are no news."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        return
