"""The only file that knows TorchServe: one binary request out, one answer per volume back."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import httpx
import numpy as np
import numpy.typing as npt

from contracts.errors import ModelNotServed, ModelServerUnavailable, ModelUnknown
from workers.metrics import record_request

MODEL = "hippocamp"
_REFUSED = frozenset({400, 413, 500, 507})
"""Statuses that may be the request's own fault: bad body, too large, handler raised, worker died on it.

Every other one (404 no such model, 503 no worker or full queue, ...) is the server's state."""


_NO_TOKEN = b"InvalidKeyException"
"""In TorchServe's answer to a call without the right token."""
PULSE_SECONDS = 5.0

Known = npt.NDArray[np.float32] | None
"""(volumes, 4) covariates, NaN where nothing is known; None: of nobody."""


class BatchRefused(Exception):  # noqa: N818  named for what happened, as in contracts.errors
    """The server answered, but not with results: one of the stacks may be to blame, or the server itself."""


@dataclass(frozen=True)
class Answer:
    """What the model says about one volume.

    probabilities: (3,) float32. interval: (3, 2) float32. slice_logits: (slices, 3) float32.
    maps: (slices, 3, h, w) float16. ood: distance from the training data. prediction_set: (3,) uint8.
    digest, engine: of the archive that answered. seconds: it spent on the whole request.
    started: when it began, Unix seconds by its own clock, 0 when it did not say. traceparent: as it got it.
    clinical: (3,) float32 with the covariates that were sent, NaN without any.
    card: the archive's model card as JSON, "" when it has none.
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
    clinical: npt.NDArray[np.float32] = field(default_factory=lambda: np.full(3, np.nan, np.float32))


class NotRead(Exception):  # noqa: N818
    """The server cannot open what it was to read by itself: send it the bytes."""


class TokenFile(httpx.Auth):
    """The token that TorchServe wrote at its last start; it is read for each request, which are few."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add it; without the file the server refuses the request."""
        with suppress(OSError, ValueError, KeyError):
            key = json.loads(self._path.read_text())["inference"]["key"]
            request.headers["Authorization"] = f"Bearer {key}"
        yield request


class ModelServer:
    """A keep-alive connection to TorchServe's inference address."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        known: frozenset[str] | None = None,
        token_file: Path | None = None,
    ) -> None:
        """known: digests of the models whose answers are taken; None: of any. token_file: TorchServe's."""
        self._known = known
        self.url = url.rstrip("/")
        self._predictions = f"{self.url}/predictions/{MODEL}"
        timeout = httpx.Timeout(timeout_seconds, connect=min(3.0, timeout_seconds))
        auth = TokenFile(token_file) if token_file else None
        self._http = httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False, auth=auth)

    def predict(
        self,
        slices: npt.NDArray[np.uint8],
        traceparent: str = "",
        *,
        covariates: Known = None,
        version: str = "",
    ) -> list[Answer]:
        """Score (volumes, 32, 208, 176) uint8, with (volumes, 4) covariates when any is known.

        version: digest of the model that is to answer, "" for the server's first. BatchRefused,
        ModelNotServed, ModelUnknown, ModelServerUnavailable.
        """
        body = slices.tobytes() + (b"" if covariates is None else covariates.astype("<f4").tobytes())
        return self._asked(body, len(slices), traceparent, version=version)

    def predict_stored(
        self, blobs: Sequence[str], traceparent: str = "", *, covariates: Known = None, version: str = ""
    ) -> list[Answer]:
        """Score stacks that the server reads from the blob store's folder itself; NotRead when it cannot."""
        asked: dict[str, Any] = {"stacks": list(blobs)}
        if covariates is not None:
            asked["covariates"] = np.where(np.isnan(covariates), None, covariates).tolist()  # type: ignore[call-overload]
        body = json.dumps(asked).encode()
        return self._asked(body, len(blobs), traceparent, version=version, named=True)

    def _asked(
        self, body: bytes, volumes: int, traceparent: str, *, version: str, named: bool = False
    ) -> list[Answer]:
        started, outcome = time.monotonic(), "away"
        try:
            response = self._post(body, traceparent, version)
            if response.status_code == httpx.codes.NOT_FOUND and version:
                raise ModelNotServed(f"The model {version} is not served here at present")
            if response.status_code == httpx.codes.BAD_REQUEST and _NO_TOKEN in response.content:
                raise ModelServerUnavailable("It does not take the token in HIPPOCAMP_MODEL_TOKEN_FILE")
            if named and response.status_code == httpx.codes.BAD_REQUEST:
                outcome = "refused"
                raise NotRead(response.text[:200])
            if response.status_code in _REFUSED:
                outcome = "refused"
                raise BatchRefused(f"HTTP {response.status_code}: {response.text[:200]}")
            if response.status_code != httpx.codes.OK:
                raise ModelServerUnavailable(f"HTTP {response.status_code}", status=response.status_code)
            answers = _parse(response.content, volumes)
            outcome = "unknown"
            self._check(answers[0].digest, version)
            outcome = "answered"
        finally:
            record_request(time.monotonic() - started, outcome)
        return answers

    def _check(self, digest: str, version: str) -> None:
        if self._known is not None and digest not in self._known:
            raise ModelUnknown(
                f"It runs {digest}, which neither HIPPOCAMP_MODEL_MANIFEST nor HIPPOCAMP_MODELS names",
                digest=digest,
            )
        if version and digest != version:
            raise ModelUnknown(f"Asked for the model {version} it answers with {digest}", digest=digest)

    def pulse(self) -> None:
        """Ask a worker of the server for nothing, which costs it nothing; ModelServerUnavailable.

        A body that holds no volume is refused by our handler, so that the answer came through a live worker.
        """
        try:
            response = self._http.post(self._predictions, content=b"", timeout=PULSE_SECONDS)
        except httpx.ReadTimeout:
            return  # it is busy, or hangs: real work will tell
        except httpx.TransportError as error:
            raise ModelServerUnavailable(f"{type(error).__name__}: {error}") from error
        if response.status_code != httpx.codes.BAD_REQUEST or _NO_TOKEN in response.content:
            raise ModelServerUnavailable(f"HTTP {response.status_code}", status=response.status_code)

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def _post(self, body: bytes, traceparent: str, version: str) -> httpx.Response:
        headers = {"content-type": "application/octet-stream"}
        if traceparent:
            headers["traceparent"] = traceparent
        try:
            return self._http.post(self._predictions + version_path(version), content=body, headers=headers)
        except httpx.ReadTimeout as error:
            raise BatchRefused("no answer in time") from error
        except httpx.TransportError as error:
            raise ModelServerUnavailable(f"{type(error).__name__}: {error}") from error


def version_path(digest: str) -> str:
    """Of the model with this digest below the address of all of them; "" for the server's first."""
    return f"/{digest[:12]}" if digest else ""


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
        clinical=np.asarray(arrays["clinical"][n] if "clinical" in arrays else [np.nan] * 3, np.float32),
    )
