"""Redis under three sentinels: the master is killed, and nothing that was accepted on a replica is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from contracts.errors import NotReplicated
from contracts.states import JobState, Stage
from jobstore.store import JobStore
from jobstore.wakeups import celery_app, wake
from runtime.blobs import BlobStore
from runtime.redis_connections import connect
from tests.conftest import free_port
from tests.integration.workers.scene import eventually, submit
from tests.integration.workers.workers_running import OBEDIENT, running
from tests.redis_servers import BINARY, DURABLE, Server

pytestmark = pytest.mark.integration

PASSWORD = "test-only"

WATCHED = Path(__file__).parents[3] / "deploy" / "redis" / "watched"
SCRIPTS = {"redis": WATCHED / "start.sh", "sentinel": WATCHED / "sentinel.sh"}
"""What Compose and Kubernetes start, too."""


def watched(what: str, port: int, first: int, sentinels: list[int], folder: Path) -> Server:
    """One server by its script, patient for half a second."""
    settings = {
        "SELF": f"127.0.0.1:{port}",
        "FIRST": f"127.0.0.1:{first}",
        "SENTINELS": " ".join(f"127.0.0.1:{number}" for number in sentinels),
        "DATA": str(folder),
        "REDIS_PASSWORD": PASSWORD,
        "DOWN_AFTER_MS": "500",
        "FAILOVER_MS": "3000",
        "PATH": f"{BINARY.parent}:{os.environ['PATH']}",
    }
    under = ("env", *(f"{name}={value}" for name, value in settings.items()), "sh")
    options = DURABLE if what == "redis" else ()
    return Server(folder, options, port=port, under=under, binary=SCRIPTS[what])


@dataclass
class Cluster:
    """A master, its replica, and three sentinels that agree by two."""

    master: Server
    replica: Server
    sentinels: list[Server]

    @property
    def url(self) -> str:
        return f"sentinel://:{PASSWORD}@{','.join(f'127.0.0.1:{s.port}' for s in self.sentinels)}/hippocamp/0"

    def ready(self, client: redis.Redis) -> bool:
        """The replica follows, and every sentinel knows of it and of both others."""
        linked = client.info("replication")["connected_slaves"] == 1
        return linked and all(self._knows(sentinel) for sentinel in self.sentinels)

    def _knows(self, sentinel: Server) -> bool:
        with redis.Redis(port=sentinel.port) as asked:
            (master,) = asked.sentinel_masters().values()
        return (master["num-slaves"], master["num-other-sentinels"]) == (1, 2)


def online(master: redis.Redis) -> bool:
    """Its replica has all it has."""
    told = master.info("replication")
    return told["connected_slaves"] == 1 and told["slave0"]["state"] == "online"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    ports = [free_port() for _ in range(5)]
    names = ["redis", "redis", "sentinel", "sentinel", "sentinel"]
    servers = [
        watched(name, port, ports[0], ports[2:], tmp_path / f"{name}{port}")
        for name, port in zip(names, ports, strict=True)
    ]
    master, replica, *sentinels = servers
    try:
        for server in (master, replica):
            server.start()
        with redis.Redis(port=master.port, password=PASSWORD) as asked:
            eventually(lambda: online(asked))  # or the sentinels look again only in ten seconds
        for sentinel in sentinels:
            sentinel.start()
        yield Cluster(master, replica, sentinels)
    finally:
        for server in servers:
            server.kill()


def refuses_without_its_disk(cluster: Cluster) -> None:
    """The master's script, with an empty folder, while the sentinels know of a replica."""
    settings = [word for word in cluster.master.under if not word.startswith("DATA=")]
    command = [settings[0], f"DATA={cluster.master.folder / 'new'}", *settings[1:], str(SCRIPTS["redis"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert "my data is gone and another has it" in done.stderr


def test_who_ran_before_waits_for_a_sentinel(tmp_path: Path) -> None:
    """All of them died after a fail-over: the first master of all must not be master again by itself."""
    (tmp_path / "appendonlydir").mkdir()
    server = watched("redis", port := free_port(), port, [free_port()], tmp_path)
    command = [*server.under, str(server.binary), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(2)]
        process.kill()
    assert said == ["no sentinel says who is master: waiting for one\n"] * 2


def test_what_a_replica_holds_survives_the_master(cluster: Cluster, tmp_path: Path) -> None:
    client = connect(cluster.url, timeout_seconds=2)
    eventually(lambda: cluster.ready(client))
    refuses_without_its_disk(cluster)
    celery = celery_app("tests", cluster.url)
    job_store, blobs = JobStore(client, replicas=1), BlobStore(str(tmp_path / "blobs"))
    environment = {
        "HIPPOCAMP_REDIS_URL": cluster.url, "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
        "HIPPOCAMP_LEASE_SECONDS": "5",
    }  # fmt: skip
    with running(environment, tmp_path) as workers:
        workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
        accepted = [submit(job_store, blobs, f"level {n}\nsleep 0.05") for n in range(20)]
        assert wake(celery, Stage.PREPROCESS, len(accepted))
        eventually(lambda: job_store.get(accepted[0]).state is JobState.QUEUED_INFER)

        cluster.master.kill()

        def found_again() -> bool:
            try:
                return client.info("server")["tcp_port"] == cluster.replica.port and bool(client.set("x", 1))
            except redis.RedisError:
                return False

        eventually(found_again)
        assert {job_store.get(job_id).id for job_id in accepted} == set(accepted)

        with pytest.raises(NotReplicated):
            submit(job_store, blobs, "level 1")
        cluster.master.start()
        eventually(lambda: client.info("replication")["connected_slaves"] == 1)
        accepted += [submit(job_store, blobs, f"level {n}") for n in range(5)]

        def all_prepared() -> bool:
            job_store.reap()
            wake(
                celery,
                Stage.PREPROCESS,
                max(0, job_store.ready(Stage.PREPROCESS) - int(client.llen("preprocess"))),
            )
            return all(job_store.get(job_id).state is JobState.QUEUED_INFER for job_id in accepted)

        eventually(all_prepared)
    client.close()
    celery.close()
