"""Workplaces over a real Redis, a folder, and a model server on a real socket."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import preprocessing_service.service as preprocess
from jobstore.store import JobStore
from jobstore.wakeups import celery_app
from preprocessing_service.settings import Settings as PreprocessSettings
from tests.integration.workers.scene import PIPELINE, fake_prepare
from tests.support.torchserve import DIGEST, OTHER, FakeTorchServe
from workers.context import WorkerContext
from workers.settings import Settings


@pytest.fixture
def torchserve() -> Iterator[FakeTorchServe]:
    with FakeTorchServe() as server:
        yield server


@pytest.fixture
def place(
    redis_client: redis.Redis, redis_url: str, tmp_path: Path, torchserve: FakeTorchServe
) -> Iterator[WorkerContext]:
    """Infer, deliver and maintain; webhooks may reach the loopback receiver."""
    settings = Settings(
        redis_url=redis_url,
        blobs=str(tmp_path / "blobs"),
        model_server=torchserve.url,
        model_seconds=0.5,
        webhook_seconds=1,
        known_models=frozenset({DIGEST, OTHER}),
        webhook_allow=(ipaddress.ip_network("127.0.0.0/8"),),
    )
    app = celery_app("test", redis_url)
    place = WorkerContext(settings, app, name="tests:0", wait_seconds=0.0)
    yield place
    place.model.close()
    place.redis.close()
    app.close()


@pytest.fixture
def desk(place: WorkerContext) -> Iterator[preprocess.WorkerContext]:
    """The preprocess stage, with a pipeline that obeys the file."""
    settings = PreprocessSettings(redis_url=place.settings.redis_url, blobs=place.settings.blobs)
    desk = preprocess.WorkerContext(settings, place.app, fake_prepare, PIPELINE, name="tests:1")
    yield desk
    desk.redis.close()


@pytest.fixture
def clocked(place: WorkerContext, desk: preprocess.WorkerContext) -> JobStore:
    """One line for all of them, whose clock the test moves."""
    place.job_store.now_ms = 1_700_000_000_000
    desk.job_store = place.job_store
    return place.job_store
