"""A 202 with a replica demanded: the replica has the record then, also when the connection breaks at WAIT."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient

from bench.chaos.relay import Fate, Relay
from gateway.app import create_app
from gateway.settings import Settings
from jobstore import api_keys, keys, sites
from jobstore.api_keys import Scope
from jobstore.scripts import Scripts
from runtime.redis_connections import connect
from tests.integration.gateway.conftest import nifti
from tests.integration.sites.conftest import RAW
from tests.integration.workers.scene import eventually
from tests.redis_servers import Server

pytestmark = pytest.mark.integration


class Pair:
    """A master and its replica, with a network before the master and another between the two."""

    def __init__(self, folder: Path) -> None:
        self.master = Server(folder / "master").start()
        self.link = Relay(self.master.port).__enter__()
        options = ("--replicaof", "127.0.0.1", str(self.link.port), "--save", "")
        self.second = Server(folder / "replica", options=options).start()
        self.relay = Relay(self.master.port).__enter__()
        self.replica = connect(self.second.url)
        client = connect(self.master.url)
        Scripts(client).load()
        sites.save(client, sites.Site(name="north"))
        self.key, _ = api_keys.issue(client, "north", frozenset(Scope), now_ms=int(time.time() * 1000))
        eventually(lambda: client.info("replication")["connected_slaves"] == 1)
        eventually(lambda: self.replica.info("replication")["master_link_status"] == "up")
        eventually(lambda: self.replica.exists(keys.site("north")))
        client.close()

    def close(self) -> None:
        self.link.silence(on=False)
        self.replica.close()
        for one in (self.relay, self.link):
            one.__exit__()
        for server in (self.second, self.master):
            server.kill()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path / "redis")
    yield pair
    pair.close()


@pytest.fixture
def gateways(pair: Pair, tmp_path: Path) -> list[FlaskClient]:
    """Two processes of one gateway."""
    settings = Settings(redis_url=pair.relay.url, blobs=str(tmp_path / "blobs"), redis_replicas=1)
    return [create_app(settings).test_client() for _ in range(2)]


def send(http: FlaskClient, pair: Pair) -> object:
    headers = {"Authorization": f"Bearer {pair.key}", "Idempotency-Key": "study-1"}
    return http.post("/v1/jobs", data=nifti(), headers=headers, content_type=RAW)


def at_wait(_: str, request: bytes) -> tuple[Fate, float]:
    return (Fate.CUT_AT_WAIT if b"\r\nWAIT\r\n" in request else Fate.PASS), 0.0


@pytest.mark.parametrize("cuts", [1, 2, 9])
def test_a_connection_that_breaks_at_wait_makes_no_promise(
    pair: Pair, gateways: list[FlaskClient], cuts: int
) -> None:
    """The client's own repetition of WAIT on a new connection would be answered at once."""
    left = [cuts]

    def judge(name: str, request: bytes) -> tuple[Fate, float]:
        fate, seconds = at_wait(name, request)
        if fate is Fate.PASS or not left[0]:
            return Fate.PASS, 0.0
        left[0] -= 1
        return fate, seconds

    pair.link.silence(on=True)
    pair.relay.judge = judge
    for http in gateways:
        answer = send(http, pair)
        assert answer.status_code == 503, "the replica has heard nothing"
        assert answer.json["code"] in {"unavailable.replicas", "unavailable.job_store"}
    left[0] = 0
    for http in gateways:
        assert send(http, pair).json["code"] == "unavailable.replicas", "it is there, and not yet safe"
    pair.link.silence(on=False)
    answers: list[object] = []

    def accepted() -> bool:
        answers.append(send(gateways[1], pair))
        return answers[-1].status_code == 202

    eventually(accepted)
    assert pair.replica.exists(keys.record(answers[-1].json["id"]))


def test_a_repeated_request_is_answered_202_only_when_the_replica_has_the_first(
    pair: Pair, gateways: list[FlaskClient]
) -> None:
    first = send(gateways[0], pair)
    assert first.status_code == 202
    assert pair.replica.exists(keys.record(first.json["id"]))
    again = send(gateways[1], pair)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")


def test_scripts_that_redis_forgot_are_loaded_again(pair: Pair, gateways: list[FlaskClient]) -> None:
    client: redis.Redis = connect(pair.master.url)
    client.script_flush()
    assert send(gateways[0], pair).status_code == 202
    client.close()
