"""The client of the model server against the real archive in a real TorchServe."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ModelServerUnavailable
from deploy.local import services
from deploy.local.settings import ROOT, LocalSettings
from workers.golden import golden_slices
from workers.model_server import ModelServer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    if not (ROOT / "model_store" / "release" / "manifest.json").exists():
        pytest.skip("model_store/release holds no weights")
    settings = replace(LocalSettings(), model_threads=1).beside(tmp_path_factory.mktemp("model"))
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
        with closing(ModelServer(url, timeout_seconds=60)) as client:
            wait_for(client, settings.folder / "log")
            yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def wait_for(client: ModelServer, log: Path) -> None:
    for _ in range(120):
        try:
            client.predict(golden_slices())
        except ModelServerUnavailable:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])


def test_each_volume_of_a_batch_gets_the_answer_it_would_get_alone(client: ModelServer) -> None:
    other = np.ascontiguousarray(golden_slices()[:, :, ::-1] // 2)
    alone = [client.predict(golden_slices())[0], client.predict(other)[0]]
    together = client.predict(np.concatenate([golden_slices(), other]))
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-5)
        np.testing.assert_allclose(one.slice_logits, two.slice_logits, atol=1e-3)
        assert one.digest == two.digest
    assert len(alone[0].digest) == 64
    assert alone[0].probabilities.sum() == pytest.approx(1, abs=1e-4)
    assert alone[0].maps.shape[:2] == (32, 3)
    assert ((alone[0].interval[:, 0] <= alone[0].interval[:, 1]) & (alone[0].interval >= 0).all()).all()
