"""Redis under three sentinels: the master is killed, and nothing that was accepted on a replica is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from contracts.blobs import BlobStore
from contracts.connections import connect
from contracts.errors import NotReplicated
from contracts.line import Line
from contracts.states import JobState, Stage
from contracts.wakeups import celery_app, wake
from tests.integration.workers.scene import eventually, submit
from tests.integration.workers.workers_running import OBEDIENT, running
from tests.redis_servers import DURABLE, Server

pytestmark = pytest.mark.integration

WATCH = """
sentinel monitor hippocamp 127.0.0.1 {port} 2
sentinel down-after-milliseconds hippocamp 500
sentinel failover-timeout hippocamp 3000
"""


@dataclass
class Cluster:
    """A master, its replica, and three sentinels that agree by two."""

    master: Server
    replica: Server
    sentinels: list[Server]

    @property
    def url(self) -> str:
        return f"sentinel://{','.join(f'127.0.0.1:{s.port}' for s in self.sentinels)}/hippocamp/0"

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
    master = Server(tmp_path / "master")
    replica = Server(tmp_path / "replica", (*DURABLE, "--replicaof", "127.0.0.1", str(master.port)))
    sentinels = []
    for n in range(3):
        folder = tmp_path / f"sentinel{n}"
        folder.mkdir()
        (folder / "sentinel.conf").write_text(WATCH.format(port=master.port))
        sentinels.append(Server(folder, config=folder / "sentinel.conf", options=("--sentinel",)))
    servers = [master, replica, *sentinels]
    try:
        for server in (master, replica):
            server.start()
        with redis.Redis(port=master.port) as asked:  # or the sentinels look again only in ten seconds
            eventually(lambda: online(asked))
        for sentinel in sentinels:
            sentinel.start()
        yield Cluster(master, replica, sentinels)
    finally:
        for server in servers:
            server.kill()


def test_what_a_replica_holds_survives_the_master(cluster: Cluster, tmp_path: Path) -> None:
    client = connect(cluster.url, timeout_seconds=2)
    eventually(lambda: cluster.ready(client))
    line, blobs = Line(client, replicas=1), BlobStore(str(tmp_path / "blobs"))
    app = celery_app("test", cluster.url)
    environment = {
        "HIPPOCAMP_REDIS_URL": cluster.url, "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
        "HIPPOCAMP_LEASE_SECONDS": "2",
    }  # fmt: skip
    with running(environment, tmp_path) as workers:
        workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
        accepted = [submit(line, blobs, f"level {n}\nsleep 0.05") for n in range(20)]
        assert wake(app, Stage.PREPROCESS, len(accepted))
        eventually(lambda: line.get(accepted[0]).state is JobState.QUEUED_INFER, within=40)

        cluster.master.kill()

        def found_again() -> bool:
            try:
                return client.info("server")["tcp_port"] == cluster.replica.port and bool(client.set("x", 1))
            except redis.RedisError:
                return False

        eventually(found_again)
        assert {line.get(job_id).id for job_id in accepted} == set(accepted)

        with pytest.raises(NotReplicated):
            submit(line, blobs, "level 1")
        cluster.master.start()
        eventually(lambda: client.info("replication")["connected_slaves"] == 1)
        accepted += [submit(line, blobs, f"level {n}") for n in range(5)]

        def all_prepared() -> bool:
            line.reap()
            wake(app, Stage.PREPROCESS, max(0, line.ready(Stage.PREPROCESS) - int(client.llen("preprocess"))))
            return all(line.get(job_id).state is JobState.QUEUED_INFER for job_id in accepted)

        eventually(all_prepared, within=60)
    app.close()
    client.close()
