"""What one process of the infer, deliver and maintain consumers works with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property

from celery import Celery

from contracts import deployed
from contracts.blobs import BlobStore
from contracts.connections import connect, connect_cache
from contracts.errors import ModelServerUnavailable
from contracts.line import Line
from contracts.orphans import worker_name
from workers.breaker import Breaker
from workers.golden import golden_slices
from workers.model_server import BatchRefused, ModelServer
from workers.settings import Settings


@dataclass
class Workplace:
    """Connections open at first use; `app` sends wake-ups.

    patience_seconds: how long a model server may take to come back before it counts as away; a worker of
        TorchServe that died on a request loads torch and the archive again.
    """

    settings: Settings
    app: Celery
    name: str = field(default_factory=worker_name)
    breaker: Breaker = field(default_factory=Breaker)
    patience_seconds: float = 20.0

    def __post_init__(self) -> None:
        self.redis = connect(self.settings.redis_url)
        self.line = Line(self.redis, cache=connect_cache(self.settings.cache_redis_url))
        self.blobs = BlobStore(self.settings.blobs)

    @cached_property
    def model(self) -> ModelServer:
        """The client of the model server."""
        return ModelServer(self.settings.model_server, timeout_seconds=self.settings.model_seconds)

    def golden(self) -> None:
        """Send the golden request and note the proof; raises as `ModelServer.predict` does."""
        answer = self.model.predict(golden_slices())[0]
        self.prove_model(answer.digest)

    def healthy(self) -> bool:
        """Whether the model server does real work, given a little time to come back."""
        ends = time.monotonic() + self.patience_seconds
        while True:
            try:
                self.golden()
            except ModelServerUnavailable:
                if time.monotonic() >= ends:
                    return False
                time.sleep(0.5)
            except BatchRefused:
                return False
            else:
                return True

    def prove_model(self, digest: str) -> None:
        """The model server answered: close the breaker, tell the gateway."""
        self.breaker.succeeded()
        deployed.publish(self.redis, "model", digest)
        deployed.prove(self.redis, "model_server")
