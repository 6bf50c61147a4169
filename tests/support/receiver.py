"""A webhook receiver on a real socket that answers as told and keeps what it got."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.support.servers import QuietHandler, ThreadedServer

SLOW_ANSWER = b"HTTP/1.1 204 No Content\r\nX-Slow: " + b"z" * 1000


@dataclass
class Receiver(ThreadedServer):
    """status: what it answers; drip: seconds between single bytes of the answer; location: for 3xx.

    meanwhile: done between the request and its answer. dripped: bytes of slow answers so far.
    """

    status: int = 204
    drip: float = 0.0
    location: str = ""
    meanwhile: Callable[[], object] = bool
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    dripped: int = 0

    def __post_init__(self) -> None:
        outer = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.body()
                outer.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                outer.meanwhile()
                if outer.drip:
                    outer.send_slowly(self)
                    return
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.end_headers()

        self.listen(Handler)
        self.url += "/hook"

    def send_slowly(self, handler: BaseHTTPRequestHandler) -> None:
        for byte in SLOW_ANSWER:
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                return
            self.dripped += 1
            time.sleep(self.drip)
