"""The only file that knows TorchServe: one binary request out, one answer per volume back."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import httpx
import numpy as np
import numpy.typing as npt

from contracts.errors import ModelServerUnavailable
from workers.metrics import record_request

MODEL = "hippocamp"
_REFUSED = frozenset({400, 413, 500, 507})
"""Statuses that may be the request's own fault: bad body, too large, handler raised, worker died on it.

Every other one (404 no such model, 503 no worker or full queue, ...) is the server's state."""


class BatchRefused(Exception):  # noqa: N818  named for what happened, as in contracts.errors
    """The server answered, but not with results: one of the stacks may be to blame, or the server itself."""


@dataclass(frozen=True)
class Answer:
    """What the model says about one volume.

    probabilities: (3,) float32. interval: (3, 2) float32. slice_logits: (slices, 3) float32.
    maps: (slices, 3, h, w) float16. ood: distance from the training data. prediction_set: (3,) uint8.
    digest, engine: of the archive that answered. seconds: it spent on the whole request.
    started: when it began, Unix seconds by its own clock, 0 when it did not say. traceparent: as it got it.
    card: the archive's model card, Markdown.
    """

    probabilities: npt.NDArray[np.float32]
    interval: npt.NDArray[np.float32]
    slice_logits: npt.NDArray[np.float32]
    maps: npt.NDArray[np.float16]
    ood: float
    prediction_set: npt.NDArray[np.uint8]
    digest: str
    engine: str
    seconds: float
    started: float = 0.0
    traceparent: str = ""
    card: str = ""


class NotRead(Exception):  # noqa: N818
    """The server cannot open what it was to read by itself: send it the bytes."""


class ModelServer:
    """A keep-alive connection to TorchServe's inference address."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url = f"{url.rstrip('/')}/predictions/{MODEL}"
        timeout = httpx.Timeout(timeout_seconds, connect=min(3.0, timeout_seconds))
        self._http = httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False)

    def predict(self, slices: npt.NDArray[np.uint8], traceparent: str = "") -> list[Answer]:
        """Score (volumes, 32, 208, 176) uint8; BatchRefused or ModelServerUnavailable otherwise."""
        return self._asked(slices.tobytes(), len(slices), traceparent)

    def predict_stored(self, blobs: Sequence[str], traceparent: str = "") -> list[Answer]:
        """Score stacks that the server reads from the blob store's folder itself; NotRead when it cannot."""
        return self._asked(json.dumps({"stacks": list(blobs)}).encode(), len(blobs), traceparent, named=True)

    def _asked(self, body: bytes, volumes: int, traceparent: str, *, named: bool = False) -> list[Answer]:
        started, outcome = time.monotonic(), "away"
        try:
            response = self._post(body, traceparent)
            if named and response.status_code == httpx.codes.BAD_REQUEST:
                outcome = "refused"
                raise NotRead(response.text[:200])
            if response.status_code in _REFUSED:
                outcome = "refused"
                raise BatchRefused(f"HTTP {response.status_code}: {response.text[:200]}")
            if response.status_code != httpx.codes.OK:
                raise ModelServerUnavailable(f"HTTP {response.status_code}", status=response.status_code)
            answers = _parse(response.content, volumes)
            outcome = "answered"
        finally:
            record_request(time.monotonic() - started, outcome)
        return answers

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def _post(self, body: bytes, traceparent: str) -> httpx.Response:
        headers = {"content-type": "application/octet-stream"}
        if traceparent:
            headers["traceparent"] = traceparent
        try:
            return self._http.post(self._url, content=body, headers=headers)
        except httpx.ReadTimeout as error:
            raise BatchRefused("no answer in time") from error
        except httpx.TransportError as error:
            raise ModelServerUnavailable(f"{type(error).__name__}: {error}") from error


def _parse(body: bytes, volumes: int) -> list[Answer]:
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as parts:
            arrays = {name: parts[name] for name in parts.files}
        about: dict[str, Any] = json.loads(arrays.pop("about").tobytes())
        shapes = {name: array.shape for name, array in arrays.items()}
        wrong = [n for n, shape in shapes.items() if shape[0] != volumes]
        if wrong or not np.isfinite(arrays["probabilities"]).all():
            raise ValueError(f"{volumes} volumes sent, got {shapes}")
        return [_one(arrays, n, about) for n in range(volumes)]
    except (ValueError, KeyError, OSError, IndexError, BadZipFile) as error:
        raise ModelServerUnavailable(f"The answer is not ours to read: {error}") from error


def _one(arrays: dict[str, npt.NDArray[Any]], n: int, about: dict[str, Any]) -> Answer:
    return Answer(
        probabilities=arrays["probabilities"][n].reshape(3),
        interval=arrays["interval"][n].reshape(3, 2),
        slice_logits=arrays["slice_logits"][n],
        maps=arrays["maps"][n],
        ood=float(arrays["ood"][n]),
        prediction_set=arrays["prediction_set"][n].reshape(3),
        digest=about["model_digest"],
        engine=about["engine"],
        seconds=float(about["seconds"]),
        started=float(about.get("started", 0)),
        traceparent=str(about.get("traceparent", "")),
        card=str(about.get("card", "")),
    )
