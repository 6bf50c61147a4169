"""What one process of the infer, deliver and maintain consumers works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from celery import Celery

from jobstore import deployed
from jobstore.store import JobStore
from jobstore.worker_identity import worker_name
from runtime.blobs import BlobStore
from runtime.redis_connections import connect, connect_cache
from workers.inference.batch_scorer import BatchScorer
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
        self.heartbeats = deployed.Heartbeats(self.redis)

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

    @property
    def scorer(self) -> BatchScorer:
        """What scores a batch; stacks in a bucket are read by us, as the model server has a folder alone."""
        reads_blobs = self.settings.model_reads_blobs and self.blobs.folder is not None
        return BatchScorer(self.model, self.blobs, reads_blobs=reads_blobs, wait_seconds=self.wait_seconds)

    def report_model(self, digest: str) -> None:
        """A model server answered: publish the heartbeat, and the digest of the model in service if known."""
        self.heartbeats.send("model_server", of="model", digest=digest)
