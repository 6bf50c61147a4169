"""The only file that knows TorchServe: `predict` sends one request and returns one answer per volume."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import httpx

from contracts.errors import ModelNotServed, ModelServerUnavailable, ModelUnknown
from workers.inference.prediction import ModelAnswer, PredictRequest, read_answers
from workers.metrics import record_request

MODEL = "hippocamp"
LIVENESS_SECONDS = 5.0
_REFUSED = frozenset({400, 413, 500, 507})
"""Statuses that may be the request's own fault: bad body, too large, handler raised, worker died on it.

Every other one (404 no such model, 503 no worker or full queue, ...) is the server's state."""
_NO_TOKEN = b"InvalidKeyException"
"""In TorchServe's answer to a call without the right token."""


class BatchRefused(Exception):  # noqa: N818  named for what happened, as in contracts.errors
    """The server answered, but not with results: one of the volumes may be to blame, or the server itself."""


class StackUnreadable(Exception):  # noqa: N818
    """The server cannot read a stack from the blob store's folder: send it the bytes."""


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

    def predict(self, request: PredictRequest) -> list[ModelAnswer]:
        """One answer a volume, in order.

        BatchRefused, StackUnreadable, ModelNotServed, ModelUnknown, ModelServerUnavailable.
        """
        started, outcome = time.monotonic(), "away"
        try:
            response = self._post(request)
            if error := _error_of(response, request):
                outcome = "refused" if isinstance(error, (BatchRefused, StackUnreadable)) else "away"
                raise error
            answers = read_answers(response.content, volumes=len(request.volumes))
            outcome = "unknown"
            self._check_digest(answers[0].digest, request.model_version)
            outcome = "answered"
        finally:
            record_request(time.monotonic() - started, outcome)
        return answers

    def check_alive(self) -> None:
        """Ask a worker of the server for nothing, which costs it nothing; ModelServerUnavailable.

        A body that holds no volume is refused by our handler, so that the answer came through a live worker.
        """
        try:
            response = self._http.post(self._predictions, content=b"", timeout=LIVENESS_SECONDS)
        except httpx.ReadTimeout:
            return  # it is busy, or hangs: real work will show which
        except httpx.TransportError as error:
            raise ModelServerUnavailable(f"{type(error).__name__}: {error}") from error
        if response.status_code != httpx.codes.BAD_REQUEST or _NO_TOKEN in response.content:
            raise ModelServerUnavailable(f"HTTP {response.status_code}", status=response.status_code)

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def _post(self, request: PredictRequest) -> httpx.Response:
        address = self._predictions + version_path(request.model_version)
        headers = {"content-type": "application/octet-stream"}
        if request.traceparent:
            headers["traceparent"] = request.traceparent
        try:
            return self._http.post(address, content=request.body(), headers=headers)
        except httpx.ReadTimeout as error:
            raise BatchRefused("no answer in time") from error
        except httpx.TransportError as error:
            raise ModelServerUnavailable(f"{type(error).__name__}: {error}") from error

    def _check_digest(self, digest: str, wanted: str) -> None:
        if self._known is not None and digest not in self._known:
            raise ModelUnknown(
                f"It runs {digest}, which neither HIPPOCAMP_MODEL_MANIFEST nor HIPPOCAMP_MODELS names",
                digest=digest,
            )
        if wanted and digest != wanted:
            raise ModelUnknown(f"Asked for the model {wanted} it answers with {digest}", digest=digest)


def _error_of(response: httpx.Response, request: PredictRequest) -> Exception | None:
    """What a status other than 200 means."""
    status, is_bad_request = response.status_code, response.status_code == httpx.codes.BAD_REQUEST
    if status == httpx.codes.OK:
        return None
    if status == httpx.codes.NOT_FOUND and request.model_version:
        return ModelNotServed(f"The model {request.model_version} is not served here at present")
    if is_bad_request and _NO_TOKEN in response.content:
        return ModelServerUnavailable("It does not take the token in HIPPOCAMP_MODEL_TOKEN_FILE")
    if is_bad_request and request.names_stacks:
        return StackUnreadable(response.text[:200])
    if status in _REFUSED:
        return BatchRefused(f"HTTP {status}: {response.text[:200]}")
    return ModelServerUnavailable(f"HTTP {status}", status=status)


def version_path(digest: str) -> str:
    """Of the model with this digest below the address of all of them; "" for the server's first."""
    return f"/{digest[:12]}" if digest else ""
