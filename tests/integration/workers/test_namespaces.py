"""Workers on a network of their own, as on another machine: they reach Redis, bucket and TorchServe only."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

from contracts.states import JobState, Stage
from jobstore.store import JobStore
from jobstore.wakeups import celery_app, wake
from runtime.blobs import BlobStore
from runtime.redis_connections import connect
from tests.conftest import free_port
from tests.integration.s3_server import CREDENTIALS, s3_server
from tests.integration.workers.scene import eventually, submit
from tests.integration.workers.workers_running import OBEDIENT, ROOT, running
from tests.redis_servers import DURABLE, Server

pytestmark = pytest.mark.integration

FOR_WORKERS, WORKERS = "10.231.0.1", "10.231.0.2"
FOR_US, US = "10.231.0.5", "10.231.0.6"
"""Two links of two addresses each: services - workers, services - this machine."""
ORDERS = [f"level {n}" for n in range(4)]
_CABLES = itertools.count()
_TORCHSERVE = """
import sys; from tests.support.torchserve import FakeTorchServe
FakeTorchServe(host="0.0.0.0", port=int(sys.argv[1])).server.serve_forever()
"""


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=120)


@dataclass(frozen=True)
class Networks:
    services: str
    workers: str

    def within(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", name)

    def reaches(self, name: str, host: str, port: int) -> bool:
        code = f"import socket; socket.create_connection(({host!r}, {port}), 2)"
        command = [*self.within(name), sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, check=False, timeout=120).returncode == 0


@contextmanager
def link(one: str, address: str, *, to: str, other: str) -> Iterator[None]:
    """A cable between two namespaces; `to` may be "", this machine's own."""
    number = next(_CABLES)
    ends = (f"hc{os.getpid() % 100000}a{number}", f"hc{os.getpid() % 100000}b{number}")
    ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for end, name, place in ((ends[0], one, address), (ends[1], to, other)):
        if name:
            ip("link", "set", end, "netns", name)
        inside = ("-n", name) if name else ()
        ip(*inside, "addr", "add", f"{place}/30", "dev", end)
        ip(*inside, "link", "set", end, "up")
    yield


@pytest.fixture
def networks() -> Iterator[Networks]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2 (`ip`)")
    made = Networks(f"hc-{os.getpid()}-s", f"hc-{os.getpid()}-w")
    try:
        ip("netns", "add", made.services)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine makes no network namespaces: {error.stderr.strip()}")
    try:
        ip("netns", "add", made.workers)
        for name in (made.services, made.workers):
            ip("-n", name, "link", "set", "lo", "up")
        with (
            link(made.services, FOR_WORKERS, to=made.workers, other=WORKERS),
            link(made.services, FOR_US, to="", other=US),
        ):
            yield made
    finally:
        for name in (made.services, made.workers):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextmanager
def torchserve(networks: Networks) -> Iterator[int]:
    port = free_port()
    command = [*networks.within(networks.services), sys.executable, "-c", _TORCHSERVE, str(port)]
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        eventually(lambda: networks.reaches(networks.workers, FOR_WORKERS, port))
        yield port
    finally:
        server.terminate()
        server.wait(60)


def test_a_job_is_done_by_workers_that_reach_nothing_else(
    networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = networks.within(networks.services)
    open_wide = (*DURABLE, "--protected-mode", "no")
    ours = Server(tmp_path / "redis", open_wide, host=FOR_US, bind="0.0.0.0", under=inside)
    try:
        ours.start()
        with s3_server(FOR_US, under=inside, bind="0.0.0.0") as bucket, torchserve(networks) as model:
            for name, value in CREDENTIALS.items() | {"AWS_ENDPOINT_URL_S3": bucket}.items():
                monkeypatch.setenv(name, value)
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            celery = celery_app("tests", ours.url)
            client, blobs = connect(ours.url), BlobStore("s3://hippocamp/x")
            job_store = JobStore(client)
            environment = CREDENTIALS | {
                "HIPPOCAMP_REDIS_URL": f"redis://{FOR_WORKERS}:{ours.port}/0",
                "HIPPOCAMP_BLOBS": "s3://hippocamp/x",
                "AWS_ENDPOINT_URL_S3": bucket.replace(FOR_US, FOR_WORKERS),
                "HIPPOCAMP_MODEL_SERVER": f"http://{FOR_WORKERS}:{model}",
            }
            with running(environment, tmp_path, under=networks.within(networks.workers)) as workers:
                workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
                workers.start("workers.app:app", "worker", "-Q", "infer", "-c", "1")
                jobs = [submit(job_store, blobs, orders, content=sha256(orders)) for orders in ORDERS]
                wake(celery, Stage.PREPROCESS, 4)

                def all_done() -> bool:
                    wake(celery, Stage.INFER)
                    return all(job_store.get(job).state is JobState.SUCCEEDED for job in jobs)

                eventually(all_done)
            assert all(job_store.record(job)["worker"].startswith(os.uname().nodename) for job in jobs)
            assert networks.reaches(networks.workers, FOR_WORKERS, ours.port)
            assert not networks.reaches(networks.workers, FOR_US, ours.port), "no way past its own link"
            assert not networks.reaches(networks.workers, US, ours.port)
            client.close()
            celery.close()
    finally:
        ours.kill()
