"""Several TorchServes behind the same `predict`: a breaker each, and the one with least waiting is asked."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import redis

from contracts.errors import HippocampError, ModelNotServed, ModelServerUnavailable
from workers.inference.breaker import Breaker
from workers.inference.model_server import BatchRefused, ModelServer
from workers.inference.prediction import ModelAnswer, PredictRequest
from workers.inference.requests_in_flight import RequestsInFlight

_log = logging.getLogger("hippocamp.replicas")

_RESOLVE_SECONDS = 10.0


@dataclass(eq=False)
class Replica:
    """One TorchServe as this process sees it."""

    url: str
    server: ModelServer
    breaker: Breaker = field(default_factory=Breaker)


class Replicas:
    """Asks as `ModelServer` does. `shared`: the Redis where processes count their requests in flight.

    A name may lead to several replicas; their addresses are looked up again every few seconds.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout_seconds: float,
        shared: redis.Redis,
        known: frozenset[str] | None = None,
        token_file: Path | None = None,
    ) -> None:
        """known, token_file: as `ModelServer` takes them."""
        self._urls, self._timeout_seconds = urls, timeout_seconds
        self._known, self._token_file = known, token_file
        self.in_flight = RequestsInFlight(shared, entry_seconds=int(timeout_seconds) + 10)
        self.all: list[Replica] = []
        self._resolve()
        self._asked_last = self.all[0]

    def allowance(self, batch: int) -> int:
        """How many jobs may be claimed now: as many as the breaker of the best replica allows."""
        if time.monotonic() - self._resolved_at > _RESOLVE_SECONDS:
            self._resolve()
        return max(replica.breaker.allowance(batch) for replica in self.all)

    def predict(self, request: PredictRequest) -> list[ModelAnswer]:
        """One answer a volume, as `ModelServer.predict` gives them.

        A replica that is away is passed over for the next. BatchRefused, StackUnreadable by the one that was
        asked; when none is left to ask, the last one's error.
        """
        left = [replica for replica in self.all if replica.breaker.allowance(1)]
        away: HippocampError = ModelServerUnavailable("Every model server failed lately: left alone a while")
        while left:
            with self._chosen(left, len(request.volumes)) as replica:
                left.remove(replica)
                try:
                    answers = replica.server.predict(request)
                except ModelNotServed as error:
                    away = error
                    continue
                except ModelServerUnavailable as error:
                    away = error
                    replica.breaker.failed()
                    _log.warning("replica.away", extra={"replica": replica.url, "detail": str(error)})
                    continue
                replica.breaker.succeeded()
                return answers
        raise away

    def predict_on_all(self, request: PredictRequest) -> ModelAnswer:
        """Ask every replica, breaker or not; an answer of one that passed, or the last one's error."""
        found: ModelAnswer | None = None
        failure: Exception = ModelServerUnavailable("No model server")
        for replica in self.all:
            try:
                found = replica.server.predict(request)[0]
            except (ModelServerUnavailable, BatchRefused) as error:
                replica.breaker.failed()
                failure = error
            else:
                replica.breaker.succeeded()
        if found is None:
            raise failure
        return found

    def passes_canary(self, request: PredictRequest, *, wait_seconds: float) -> bool:
        """Whether the replica that was asked last answers this, given a little time to come back."""
        replica, ends = self._asked_last, time.monotonic() + wait_seconds
        while True:
            try:
                replica.server.predict(request)
            except (ModelServerUnavailable, BatchRefused, ModelNotServed) as error:
                if isinstance(error, ModelServerUnavailable) and time.monotonic() < ends:
                    time.sleep(0.5)
                    continue
                replica.breaker.failed()
                return False
            replica.breaker.succeeded()
            return True

    def check_alive(self) -> None:
        """Ask the replicas for a sign of life until one gives it; the last one's error when none does."""
        away: ModelServerUnavailable | None = None
        for replica in self.all:
            try:
                replica.server.check_alive()
            except ModelServerUnavailable as error:
                away = error
            else:
                return
        if away:
            raise away

    def close(self) -> None:
        """End the connections."""
        for replica in self.all:
            replica.server.close()

    @contextmanager
    def _chosen(self, among: Sequence[Replica], volumes: int) -> Iterator[Replica]:
        by_url = {replica.url: replica for replica in among}
        if len(self.all) == 1:
            self._asked_last = among[0]
            yield among[0]
            return
        with self.in_flight.least_waiting(list(by_url), volumes=volumes) as url:
            self._asked_last = by_url[url]
            yield by_url[url]

    def _resolve(self) -> None:
        """Replicas that stay keep their breakers and connections."""
        before = {replica.url: replica for replica in self.all}
        self.all = [
            before.pop(url) if url in before else Replica(url, self._client(url))
            for url in addresses_of(self._urls)
        ]
        for gone in before.values():
            gone.server.close()
        self._resolved_at = time.monotonic()

    def _client(self, url: str) -> ModelServer:
        seconds = self._timeout_seconds
        return ModelServer(url, timeout_seconds=seconds, known=self._known, token_file=self._token_file)


def addresses_of(urls: Sequence[str]) -> list[str]:
    """A url whose name has several IPv4 addresses becomes one url an address; all others stay."""
    return [address for url in urls for address in _addresses(url)]


def _addresses(url: str) -> list[str]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    try:
        found = socket.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        return [url]  # the request to it reports what is wrong
    numbers = sorted({str(info[4][0]) for info in found})
    if parts.scheme != "http" or len(numbers) < 2:
        return [url]
    return [parts._replace(netloc=f"{number}:{port}").geturl() for number in numbers]
