"""The client of the model server against the real archive in a real TorchServe."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ModelNotServed, ModelServerUnavailable, ModelUnknown
from deploy.local import services
from deploy.local.settings import ROOT, LocalSettings
from model_store.digest import MANIFEST, RELEASE, file_digest, model_digest
from workers.golden import golden_slices
from workers.model_server import ModelServer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    if not (ROOT / "model_store" / "release" / "manifest.json").exists():
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
        with closing(ModelServer(url, timeout_seconds=60, known=known)) as client:
            wait_for(client, settings.folder / "log")
            yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


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
            client.predict(golden_slices())
        except ModelServerUnavailable:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])


def test_two_models_answer_side_by_side(client: ModelServer) -> None:
    assert client._known is not None
    shipped = model_digest()
    (other,) = client._known - {shipped}
    first, named, second = (
        client.predict(golden_slices(), version=version)[0] for version in ("", shipped, other)
    )
    assert (first.digest, named.digest, second.digest) == (shipped, shipped, other)
    assert first.probabilities.max() > second.probabilities.max()
    assert first.slice_logits == pytest.approx(second.slice_logits, abs=1e-4)
    with pytest.raises(ModelNotServed, match="ffff"):
        client.predict(golden_slices(), version="f" * 64)


def test_a_model_that_is_not_known_is_refused(client: ModelServer) -> None:
    assert client._known is not None
    (other,) = client._known - {model_digest()}
    with closing(ModelServer(client.url, timeout_seconds=60, known=frozenset({other}))) as stranger:
        with pytest.raises(ModelUnknown, match=model_digest()):
            stranger.predict(golden_slices())
        assert stranger.predict(golden_slices(), version=other)[0].digest == other


def test_what_is_known_of_a_person_gives_the_second_answer(client: ModelServer) -> None:
    """MMSE 15 at 80, MMSE 30 at 80, and nothing, in one request."""
    unknown = np.nan
    told = np.array([[15, 80, unknown, unknown], [30, 80, unknown, unknown], [unknown] * 4], np.float32)
    low, high, none = client.predict(np.repeat(golden_slices(), 3, axis=0), covariates=told)
    assert low.clinical[0] < 0.5 < high.clinical[0]
    assert np.isnan(none.clinical).all()
    assert low.probabilities == pytest.approx(none.probabilities, abs=1e-6)


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
