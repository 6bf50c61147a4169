"""A webhook receiver on a real socket that answers as told and keeps what it got."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

SLOW_ANSWER = b"HTTP/1.1 204 No Content\r\nX-Slow: " + b"z" * 1000


@dataclass
class Receiver:
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

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                outer.meanwhile()
                if outer.drip:
                    outer.send_slowly(self)
                    return
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def send_slowly(self, handler: BaseHTTPRequestHandler) -> None:
        for byte in SLOW_ANSWER:
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                return
            self.dripped += 1
            time.sleep(self.drip)

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
