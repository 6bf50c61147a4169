"""An HTTP server that answers like TorchServe with our archive, and fails in the ways TorchServe fails."""

from __future__ import annotations

import io
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.support.servers import QuietHandler, ThreadedServer

DIGEST, OTHER = "ab" * 32, "ba" * 32
VOLUME = 32 * 208 * 176
POISON = 255
"""A volume whose first voxel has this value kills the batch it is in."""


def answer(slices: np.ndarray, known: np.ndarray, digest: str = DIGEST) -> bytes:
    """What the archive would send for (v, 32, 208, 176): figures follow from each volume alone.

    known: (v, 4), MMSE first; the clinical answer is MMSE / 30 for CDR 0.
    """
    v = len(slices)
    level = slices.reshape(v, -1).mean(axis=1) / 255
    p = np.stack([0.5 + level / 2, (1 - level) / 4, (1 - level) / 4], axis=1)
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    about = {
        "model_digest": digest,
        "engine": "fake",
        "int8": True,
        "seconds": 0.01,
        "started": time.time(),
        "card": "{}",
    }
    share = known[:, 0] / 30
    out = io.BytesIO()
    np.savez(
        out,
        clinical=np.stack([share, (1 - share) / 2, (1 - share) / 2], axis=1).astype(np.float32),
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
class FakeTorchServe(ThreadedServer):
    """mode: "ok", "hang" or an HTTP status; sizes: volumes of every request that came.

    folder: where it reads stacks that a request only names; None: it refuses them. named: how often that was.
    digest: of the model that answers by default; others: of those that answer by their version.
    """

    mode: str = "ok"
    port: int = 0
    host: str = "127.0.0.1"
    sizes: list[int] = field(default_factory=list)
    folder: Path | None = None
    named: int = 0
    digest: str = DIGEST
    others: tuple[str, ...] = ()
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        outer = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.body()
                status, payload = outer.respond(self.path, body)
                with suppress(OSError):  # the client may have given up
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(payload)))
                    self.end_headers()
                    self.wfile.write(payload)

        self.listen(Handler, host=self.host, port=self.port)

    def respond(self, path: str, body: bytes) -> tuple[int, bytes]:
        served = {digest[:12]: digest for digest in (self.digest, *self.others)} | {"": self.digest}
        name, _, version = path.removeprefix("/predictions/").partition("/")
        if name != "hippocamp":
            return 404, b'{"code": 404, "type": "ModelNotFoundException"}'
        if version not in served:
            return 404, b'{"code": 404, "type": "ModelVersionNotFoundException"}'
        if not body and self.mode == "ok":
            return 400, b'{"code": 400, "message": "no volume"}'
        try:
            slices, known = self._read(body)
        except OSError as error:
            return 400, str(error).encode()
        self.sizes.append(len(slices))
        if self.mode == "hang":
            self.released.wait(60)
        elif self.mode != "ok":
            return int(self.mode), b"not now"
        if (slices[:, 0, 0, 0] == POISON).any():
            return 500, b'{"code": 500, "type": "InternalServerException"}'
        return 200, answer(slices, known, served[version])

    def _read(self, body: bytes) -> tuple[np.ndarray, np.ndarray]:
        if body.startswith(b"{"):
            self.named += 1
            told = json.loads(body)
            slices = self._named(told["stacks"])
            given = np.array(told.get("covariates") or [[None] * 4] * len(slices), np.float32)
            return slices, given
        count, rest = divmod(len(body), VOLUME)
        slices = np.frombuffer(body, np.uint8, count * VOLUME).reshape(-1, 32, 208, 176)
        given = np.frombuffer(body, "<f4", offset=slices.size) if rest else np.full(4 * count, np.nan)
        return slices, given.reshape(count, 4)

    def _named(self, names: list[str]) -> np.ndarray:
        if self.folder is None:
            raise FileNotFoundError("no folder")
        return np.stack([np.load(self.folder / name)["slices"] for name in names])

    def __exit__(self, *_: object) -> None:
        self.released.set()
        super().__exit__()
