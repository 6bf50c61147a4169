"""Redis killed and started again on its append-only file: nothing accepted is lost, nobody goes deaf."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from contracts.job import new_job_id
from contracts.states import JobState
from jobstore import keys
from jobstore.store import JobStore
from runtime.blobs import BlobStore
from runtime.redis_connections import connect
from tests.integration.workers.scene import eventually, submit
from tests.integration.workers.workers_running import OBEDIENT, running
from tests.redis_servers import Server
from tests.support.torchserve import FakeTorchServe

pytestmark = pytest.mark.integration


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "redis").start()
    yield server
    server.kill()


def test_every_accepted_job_ends_although_redis_dies_thrice(
    durable: Server, tmp_path: Path, torchserve: FakeTorchServe
) -> None:
    environment = {
        "HIPPOCAMP_REDIS_URL": durable.url, "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
        "HIPPOCAMP_MODEL_SERVER": torchserve.url, "HIPPOCAMP_LEASE_SECONDS": "5",
    }  # fmt: skip
    client = connect(durable.url, timeout_seconds=1, retries=0)
    job_store, blobs = JobStore(client), BlobStore(str(tmp_path / "blobs"))
    accepted: list[str] = []
    with running(environment, tmp_path) as workers:
        workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "2")
        workers.start("workers.app:app", "worker", "-Q", "infer", "-c", "1")
        workers.start("workers.app:app", "worker", "-Q", "deliver,maintain", "-c", "1")
        workers.start("workers.app:app", "beat", "-s", str(tmp_path / "beat"))
        for round_ in range(3):
            for n in range(20):
                accepted.append(submit(job_store, blobs, f"level {n}\nsleep 0.05", content=f"{round_}-{n}"))
            durable.kill()
            with pytest.raises(redis.ConnectionError):
                submit(job_store, blobs, "level 1", content=new_job_id())
            time.sleep(0.5)
            durable.start()

        def all_done() -> bool:
            return all(job_store.get(job_id).state is JobState.SUCCEEDED for job_id in accepted)

        eventually(all_done)
    totals = client.hgetall(keys.TOTALS)
    assert int(totals["entered:succeeded"]) == len(accepted) == 60
    client.close()
