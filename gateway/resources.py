"""What every request handler may use: settings, the job store, the inbox, the blob store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import redis
from celery import Celery
from flask import Flask, current_app
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from gateway.settings import Settings
from gateway.uploads.sanitize.pool import SandboxPool, sandbox_pool
from jobstore.inbox import Inbox
from jobstore.store import JobStore
from jobstore.wakeups import celery_app
from runtime.blobs import BlobStore
from runtime.disk_space import Disks
from runtime.redis_connections import connect, connect_cache

_KEY = "hippocamp"


@dataclass(frozen=True)
class Resources:
    """One process's handles; none of them connects before its first use."""

    settings: Settings
    client: redis.Redis
    celery: Celery
    job_store: JobStore
    inbox: Inbox
    blobs: BlobStore
    disks: Disks
    sandbox: SandboxPool


def open_resources(app: Flask, settings: Settings) -> None:
    """Attach the handles to the application.

    A broken connection is tried once more, so that one that died in the pool costs no 503; a Redis that does
    not answer in time is not, so that the caller is told after one time limit.
    """
    client = connect(settings.redis_url, timeout_seconds=settings.line_seconds)
    client.set_retry(Retry(ConstantBackoff(0.05), 1, supported_errors=(redis.ConnectionError,)))
    blobs = BlobStore(settings.blobs, reserve_bytes=settings.disk_reserve_bytes)
    app.extensions[_KEY] = Resources(
        settings=settings,
        client=client,
        celery=celery_app("gateway", settings.redis_url, timeout_seconds=settings.line_seconds),
        job_store=JobStore(
            client, cache=connect_cache(settings.cache_redis_url), replicas=settings.redis_replicas
        ),
        inbox=Inbox(client, replicas=settings.redis_replicas),
        blobs=blobs,
        disks=Disks.of(blobs.folder, settings.redis_folder, settings.disk_reserve_bytes),
        sandbox=sandbox_pool(settings.sandbox),
    )


def resources() -> Resources:
    """The handles of the application that serves the present request."""
    return cast("Resources", current_app.extensions[_KEY])
