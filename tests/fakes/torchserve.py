"""An HTTP server that answers like TorchServe with our archive, and fails in the ways TorchServe fails."""

from __future__ import annotations

import io
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import numpy as np

DIGEST = "ab" * 32
POISON = 255
"""A volume whose first voxel has this value kills the batch it is in."""


def answer(slices: np.ndarray) -> bytes:
    """What the archive would send for (v, 32, 208, 176): figures follow from each volume alone."""
    v = len(slices)
    level = slices.reshape(v, -1).mean(axis=1) / 255
    p = np.stack([0.5 + level / 2, (1 - level) / 4, (1 - level) / 4], axis=1)
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    about = {"model_digest": DIGEST, "engine": "fake", "int8": True, "seconds": 0.01, "started": time.time()}
    out = io.BytesIO()
    np.savez(
        out,
        probabilities=p,
        interval=np.stack([p - 0.05, p + 0.05], axis=2).clip(0, 1).astype(np.float32),
        slice_logits=np.log(np.repeat(p[:, None], 32, axis=1)).astype(np.float32),
        maps=np.zeros((v, 32, 3, 7, 6), np.float16),
        ood=np.full(v, 0.3, np.float32),
        prediction_set=(p > 0.2).astype(np.uint8),
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
    )
    return out.getvalue()


@dataclass
class FakeTorchServe:
    """mode: "ok", "hang" or an HTTP status; sizes: volumes of every request that came.

    folder: where it reads stacks that a request only names; None: it refuses them. named: how often that was.
    """

    mode: str = "ok"
    port: int = 0
    host: str = "127.0.0.1"
    sizes: list[int] = field(default_factory=list)
    folder: Path | None = None
    named: int = 0

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, payload = outer.respond(self.path, body)
                with suppress(OSError):  # the client may have given up
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(payload)))
                    self.end_headers()
                    self.wfile.write(payload)

            def log_message(self, *_: object) -> None:
                return

        ThreadingHTTPServer.allow_reuse_address = True
        self.server = ThreadingHTTPServer((self.host, self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://{self.host}:{self.port}"

    def respond(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path != "/predictions/hippocamp":
            return 404, b'{"code": 404, "type": "ModelNotFoundException"}'
        if body.startswith(b"{"):
            self.named += 1
            try:
                slices = self._named(json.loads(body)["stacks"])
            except OSError as error:
                return 400, str(error).encode()
        else:
            slices = np.frombuffer(body, np.uint8).reshape(-1, 32, 208, 176)
        self.sizes.append(len(slices))
        if self.mode == "hang":
            time.sleep(3)
        elif self.mode != "ok":
            return int(self.mode), b"not now"
        if (slices[:, 0, 0, 0] == POISON).any():
            return 500, b'{"code": 500, "type": "InternalServerException"}'
        return 200, answer(slices)

    def _named(self, names: list[str]) -> np.ndarray:
        if self.folder is None:
            raise FileNotFoundError("no folder")
        return np.stack([np.load(self.folder / name)["slices"] for name in names])

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
