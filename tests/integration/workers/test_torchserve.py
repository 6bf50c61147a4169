"""The client of the model server against the real archive in a real TorchServe."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from contracts.errors import ModelNotServed, ModelServerUnavailable, ModelUnknown
from deploy.local import services
from deploy.local.settings import ROOT, LocalSettings
from model_store.release.digest import MANIFEST, RELEASE, file_digest, model_digest
from workers.inference.canary import canary_request, canary_slices
from workers.inference.model_server import ModelServer
from workers.inference.prediction import PredictRequest

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Running:
    """A TorchServe as the local system starts it, and a client that has its token."""

    client: ModelServer
    settings: LocalSettings
    token: Path
    management: Path


@pytest.fixture(scope="module")
def client(running: Running) -> ModelServer:
    return running.client


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if not (ROOT / "model_store" / "release" / "current" / "manifest.json").exists():
        pytest.skip("model_store/release holds no weights")
    second = changed_release(tmp_path_factory.mktemp("release"))
    settings = replace(LocalSettings(), model_threads=1, releases=(second,))
    settings = settings.beside(tmp_path_factory.mktemp("model"))
    settings.folder.mkdir(exist_ok=True)
    service = services.model_server(settings)
    environment = settings.environment() | service.environment
    with (settings.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            service.command,
            cwd=service.folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = environment["HIPPOCAMP_MODEL_SERVER"]
    try:
        known = frozenset({model_digest(), *environment["HIPPOCAMP_MODELS"].split(",")})
        token = Path(environment["HIPPOCAMP_MODEL_TOKEN_FILE"])
        with closing(ModelServer(url, timeout_seconds=60, known=known, token_file=token)) as client:
            wait_for(client, settings.folder / "log")
            yield Running(client, settings, token, management_of(settings))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def management_of(settings: LocalSettings) -> Path:
    """The socket that its configuration names."""
    lines = (settings.folder / "model_server" / "config.properties").read_text().splitlines()
    (told,) = [line for line in lines if line.startswith("management_address=unix:")]
    return Path(told.partition("unix:")[2])


def changed_release(folder: Path) -> Path:
    """The release with flatter probabilities, sealed as a model of its own."""
    for path in RELEASE.iterdir():
        shutil.copy(path, folder)
    with np.load(folder / "head.npz") as stored:
        constants = dict(stored)
    np.savez(folder / "head.npz", **constants | {"temperature": constants["temperature"] * 3})
    files = {path.name: file_digest(path) for path in folder.iterdir() if path.name != MANIFEST}
    (folder / MANIFEST).write_text(json.dumps({"files": files}))
    return folder


def wait_for(client: ModelServer, log: Path) -> None:
    for _ in range(360):
        try:
            client.predict(canary_request())
        except ModelServerUnavailable:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])


def test_two_models_answer_side_by_side(client: ModelServer) -> None:
    assert client._known is not None
    shipped = model_digest()
    (other,) = client._known - {shipped}
    first, named, second = (client.predict(canary_request(version))[0] for version in ("", shipped, other))
    assert (first.digest, named.digest, second.digest) == (shipped, shipped, other)
    assert first.probabilities.max() > second.probabilities.max()
    assert first.slice_logits == pytest.approx(second.slice_logits, abs=1e-4)
    with pytest.raises(ModelNotServed, match="ffff"):
        client.predict(canary_request("f" * 64))


def test_a_model_that_is_not_known_is_refused(running: Running) -> None:
    client = running.client
    assert client._known is not None
    (other,) = client._known - {model_digest()}
    only = {"known": frozenset({other}), "token_file": running.token}
    with closing(ModelServer(client.url, timeout_seconds=60, **only)) as stranger:
        with pytest.raises(ModelUnknown, match=model_digest()):
            stranger.predict(canary_request())
        assert stranger.predict(canary_request(other))[0].digest == other


def test_what_is_known_of_a_person_gives_the_second_answer(client: ModelServer) -> None:
    """MMSE 15 at 80, MMSE 30 at 80, and nothing, in one request."""
    unknown = np.nan
    told = np.array([[15, 80, unknown, unknown], [30, 80, unknown, unknown], [unknown] * 4], np.float32)
    low, high, none = client.predict(
        PredictRequest.of_slices(np.repeat(canary_slices(), 3, axis=0), covariates=told)
    )
    assert low.clinical[0] < 0.5 < high.clinical[0]
    assert np.isnan(none.clinical).all()
    assert low.probabilities == pytest.approx(none.probabilities, abs=1e-6)


def test_each_volume_of_a_batch_gets_the_answer_it_would_get_alone(client: ModelServer) -> None:
    other = np.ascontiguousarray(canary_slices()[:, :, ::-1] // 2)
    alone = [client.predict(canary_request())[0], client.predict(PredictRequest.of_slices(other))[0]]
    together = client.predict(PredictRequest.of_slices(np.concatenate([canary_slices(), other])))
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-5)
        np.testing.assert_allclose(one.slice_logits, two.slice_logits, atol=1e-3)
        assert one.digest == two.digest
    assert len(alone[0].digest) == 64
    assert alone[0].probabilities.sum() == pytest.approx(1, abs=1e-4)
    assert alone[0].maps.shape[:2] == (32, 3)
    assert ((alone[0].interval[:, 0] <= alone[0].interval[:, 1]) & (alone[0].interval >= 0).all()).all()


def test_a_process_without_the_token_can_ask_for_nothing(running: Running) -> None:
    ports = running.settings.ports
    with closing(ModelServer(running.client.url, timeout_seconds=60)) as stranger:
        with pytest.raises(ModelServerUnavailable, match="HIPPOCAMP_MODEL_TOKEN_FILE"):
            stranger.predict(canary_request())
        with pytest.raises(ModelServerUnavailable):
            stranger.check_alive()
    for port in (ports.model_server, ports.model_metrics):
        scaled = httpx.put(f"http://127.0.0.1:{port}/models/hippocamp?min_worker=0", trust_env=False)
        assert scaled.status_code >= 400
    assert running.client.predict(canary_request())


def test_management_is_a_socket_that_only_we_may_enter_and_a_port_that_asks_for_the_token(
    running: Running,
) -> None:
    assert running.management.is_socket()
    for private in (running.management.parent, running.token.parent):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE(running.token.stat().st_mode) == 0o600
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(running.management))) as http:
        assert http.get("http://torchserve/models").status_code == 400  # without the token
    address = f"http://127.0.0.1:{running.settings.ports.model_grpc_management}"
    grpc = {"Content-Type": "application/grpc", "TE": "trailers"}
    with httpx.Client(http1=False, http2=True, trust_env=False) as http:
        answer = http.post(f"{address}/{MANAGEMENT}/ScaleWorker", content=SCALE_TO_NOTHING, headers=grpc)
    assert answer.headers["grpc-status"] == "7", "PERMISSION_DENIED"
    assert running.client.predict(canary_request())


MANAGEMENT = "org.pytorch.serve.grpc.management.ManagementAPIsService"
SCALE_TO_NOTHING = b"\x00\x00\x00\x00\x0b\x0a\x09hippocamp"
"""A message of gRPC, not compressed, 11 bytes: a ScaleWorkerRequest with the model's name alone."""


def test_a_liveness_check_finds_workers_that_are_gone_and_back(running: Running) -> None:
    """Ended as a caller of the management port could, and as a crash does."""
    running.client.check_alive()
    scale(running, 0)
    with pytest.raises(ModelServerUnavailable):
        running.client.check_alive()
    scale(running, 1)
    running.client.check_alive()


def scale(running: Running, workers: int) -> None:
    key = json.loads(running.token.read_text())["management"]["key"]
    shipped = model_digest()[:12]
    transport = httpx.HTTPTransport(uds=str(running.management))
    with httpx.Client(transport=transport, timeout=120) as http:
        for version in {shipped, *(one[:12] for one in running.client._known or ())}:
            told = {"min_worker": workers, "max_worker": workers, "synchronous": "true"}
            answer = http.put(
                f"http://torchserve/models/hippocamp/{version}",
                params=told,
                headers={"Authorization": f"Bearer {key}"},
            )
            assert answer.status_code == 200, answer.text
