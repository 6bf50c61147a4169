"""Several TorchServes behind one client: a breaker each, and the one with least waiting is asked."""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import redis

from contracts.errors import HippocampError, ModelNotServed, ModelServerUnavailable
from jobstore import keys
from workers.inference.addresses import addresses_of
from workers.inference.breaker import Breaker
from workers.inference.model_server import Answer, BatchRefused, Known, ModelServer

_log = logging.getLogger("hippocamp.replicas")
Slices = npt.NDArray[np.uint8]

_PAUSE_SECONDS = 2.0
_LOOK_SECONDS = 10.0
_TAKE = """
-- Asks the replica with the fewest volumes in flight, the first of equals; entries of the dead run out.
-- KEYS: a zset of requests in flight per replica   ARGV: seconds an entry lasts | member "<id>:<volumes>"
local now = tonumber(redis.call('TIME')[1])
local best, least
for n, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  local waiting = 0
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    waiting = waiting + tonumber(string.match(member, '%d+$'))
  end
  if not best or waiting < least then best, least = n, waiting end
end
redis.call('ZADD', KEYS[best], now + ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[best], ARGV[1])
return best
"""


@dataclass(eq=False)
class Replica:
    """One TorchServe as this process sees it."""

    url: str
    server: ModelServer
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def key(self) -> str:
        return keys.asked(self.url)


class Replicas:
    """Asks as `ModelServer` does. `shared`: where processes tell each other what they have in flight.

    A name may lead to several replicas; who they are is looked up again every few seconds.
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
        self._token_file = token_file
        self._urls, self._timeout_seconds, self._known = urls, timeout_seconds, known
        self._seconds = int(timeout_seconds) + 10
        self.all: list[Replica] = []
        self._looked_at = 0.0
        self._find()
        self._shared = shared
        self._take = shared.register_script(_TAKE)
        self._turn = itertools.count()
        self._alone_until = 0.0
        self._asked = self.all[0]

    def allowance(self, batch: int) -> int:
        """How many jobs may be claimed now: as many as the breaker of the best replica allows."""
        if time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._find()
        return max(replica.breaker.allowance(batch) for replica in self.all)

    def predict(
        self, slices: Slices, traceparent: str = "", *, covariates: Known = None, version: str = ""
    ) -> list[Answer]:
        """Score (volumes, 32, 208, 176) uint8 as `ModelServer.predict` does.

        A replica that is away is passed over for the next. BatchRefused by the one that was asked; when none
        is left to ask, the last one's error.
        """
        return self._asked_for(
            len(slices),
            lambda server: server.predict(slices, traceparent, covariates=covariates, version=version),
        )

    def predict_stored(
        self, blobs: Sequence[str], traceparent: str = "", *, covariates: Known = None, version: str = ""
    ) -> list[Answer]:
        """The same for stacks that the replica reads from the blob store's folder; NotRead when it cannot."""
        return self._asked_for(
            len(blobs),
            lambda server: server.predict_stored(blobs, traceparent, covariates=covariates, version=version),
        )

    def _asked_for(self, volumes: int, ask: Callable[[ModelServer], list[Answer]]) -> list[Answer]:
        left = [replica for replica in self.all if replica.breaker.allowance(1)]
        away: HippocampError = ModelServerUnavailable("Every model server failed lately: left alone a while")
        while left:
            with self._chosen(left, volumes) as replica:
                left.remove(replica)
                try:
                    answers = ask(replica.server)
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

    def prove(self, slices: Slices) -> Answer:
        """Ask every replica, breaker or not; an answer of one that passed, or the last one's error."""
        found: Answer | ModelServerUnavailable | BatchRefused = ModelServerUnavailable("No model server")
        for replica in self.all:
            try:
                answer = replica.server.predict(slices)[0]
            except (ModelServerUnavailable, BatchRefused) as error:
                replica.breaker.failed()
                found = found if isinstance(found, Answer) else error
            else:
                replica.breaker.succeeded()
                found = answer
        if isinstance(found, Answer):
            return found
        raise found

    def pulse(self) -> None:
        """Ask every replica for a sign of life; the last one's error when none gives it."""
        away: ModelServerUnavailable | None = None
        for replica in self.all:
            try:
                replica.server.pulse()
            except ModelServerUnavailable as error:
                away = error
            else:
                return
        if away:
            raise away

    def control(self, slices: Slices, *, wait_seconds: float, version: str = "") -> bool:
        """Whether the replica that was asked last does real work, given a little time to come back."""
        replica, ends = self._asked, time.monotonic() + wait_seconds
        while True:
            try:
                replica.server.predict(slices, version=version)
            except (ModelServerUnavailable, BatchRefused, ModelNotServed) as error:
                if isinstance(error, ModelServerUnavailable) and time.monotonic() < ends:
                    time.sleep(0.5)
                    continue
                replica.breaker.failed()
                return False
            replica.breaker.succeeded()
            return True

    def close(self) -> None:
        """End the connections."""
        for replica in self.all:
            replica.server.close()

    def _find(self) -> None:
        """Replicas that stay keep their breakers and connections."""
        known = {replica.url: replica for replica in self.all}
        found = addresses_of(self._urls)
        self.all = [known.pop(url) if url in known else self._new(url) for url in found]
        for gone in known.values():
            gone.server.close()
        self._looked_at = time.monotonic()

    def _new(self, url: str) -> Replica:
        return Replica(url, self._client(url))

    def _client(self, url: str) -> ModelServer:
        seconds = self._timeout_seconds
        return ModelServer(url, timeout_seconds=seconds, known=self._known, token_file=self._token_file)

    @contextmanager
    def _chosen(self, among: Sequence[Replica], volumes: int) -> Iterator[Replica]:
        member = f"{uuid.uuid4().hex}:{volumes}"
        chosen = self._asked = self._least_waiting(among, member)
        try:
            yield chosen
        finally:
            self._leave(chosen, member)

    def _least_waiting(self, among: Sequence[Replica], member: str) -> Replica:
        """Equals take turns; so do all while the shared counts cannot be had."""
        first = next(self._turn) % len(among)
        turned = [*among[first:], *among[:first]]
        if len(self.all) == 1 or time.monotonic() < self._alone_until:
            return turned[0]
        try:
            found = self._take(keys=[replica.key for replica in turned], args=[self._seconds, member])
        except redis.RedisError:
            self._alone_until = time.monotonic() + _PAUSE_SECONDS
            return turned[0]
        return turned[int(found) - 1]

    def _leave(self, replica: Replica, member: str) -> None:
        if len(self.all) == 1 or time.monotonic() < self._alone_until:
            return
        try:
            self._shared.zrem(replica.key, member)
        except redis.RedisError:
            self._alone_until = time.monotonic() + _PAUSE_SECONDS
