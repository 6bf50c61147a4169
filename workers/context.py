"""What one process of the infer, deliver and maintain consumers works with."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from celery import Celery

from contracts.errors import ModelNotServed, ModelServerUnavailable, ModelUnknown
from jobstore import deployed
from jobstore.store import JobStore
from jobstore.worker_identity import worker_name
from runtime.blobs import BlobStore
from runtime.redis_connections import connect, connect_cache
from workers.inference.canary import canary_slices
from workers.inference.model_server import Answer, BatchRefused
from workers.inference.replicas import Replicas
from workers.settings import Settings


@dataclass
class WorkerContext:
    """Connections open at first use; `app` sends wake-ups.

    wait_seconds: how long a model server may take to come back before it counts as away; a worker of
        TorchServe that died on a request loads torch and the archive again.
    """

    settings: Settings
    app: Celery
    name: str = field(default_factory=worker_name)
    wait_seconds: float = 20.0

    def __post_init__(self) -> None:
        self.redis = connect(self.settings.redis_url)
        self.cache = connect_cache(self.settings.cache_redis_url) or self.redis
        self.job_store = JobStore(self.redis, cache=self.cache)
        self.blobs = BlobStore(self.settings.blobs, reserve_bytes=self.settings.disk_reserve_bytes)
        self.proofs = deployed.Proofs(self.redis)

    @property
    def by_name(self) -> bool:
        """Whether the model server reads stacks itself, so that their bytes need not pass through us."""
        return self.settings.model_reads_blobs and self.blobs.folder is not None

    @cached_property
    def model(self) -> Replicas:
        """The client of the model servers."""
        settings = self.settings
        return Replicas(
            settings.model_servers,
            timeout_seconds=settings.model_seconds,
            shared=self.cache,
            known=settings.known_models,
            token_file=settings.model_token_file,
        )

    def golden(self) -> None:
        """Send the canary request and note the proof; raises as `Replicas.prove` does.

        Other known models that are served beside it are asked too, so that jobs can name them.
        """
        try:
            answer = self.model.prove(canary_slices())
        except ModelUnknown as error:
            deployed.refuse(self.redis, str(error.figures["digest"]))
            raise
        self._describe(answer)
        self.prove_model(answer.digest)
        for digest in sorted(self.settings.known_models - {answer.digest}):
            with suppress(ModelNotServed, ModelServerUnavailable, BatchRefused):
                self._describe(self.model.predict(canary_slices(), version=digest)[0])
        deployed.prove(self.redis, "other_models", ttl_seconds=60)

    def _describe(self, answer: Answer) -> None:
        if answer.card:
            deployed.describe(self.redis, answer.digest, answer.card)

    def healthy(self, version: str = "") -> bool:
        """Whether the model server that was asked last does real work, given a little time to come back."""
        return self.model.control(canary_slices(), wait_seconds=self.wait_seconds, version=version)

    def prove_model(self, digest: str) -> None:
        """A model server answered: tell the gateway."""
        self.proofs.tell("model_server", of="model", digest=digest)
