"""A gateway on the real Redis and a blob store of its own, and jobs moved through the real line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from contracts.explanation import Explanation
from contracts.result import Intervals, Probabilities, Result
from contracts.stack import HEIGHT, SLICES, WIDTH, Stack
from contracts.states import Stage
from gateway.app import create_app
from gateway.settings import Settings
from jobstore import deployed
from jobstore.result_cache import CacheEntry, cache_key
from jobstore.store import JobStore
from runtime.blobs import BlobStore, explanation_path, stack_path
from tests.support.hospital import Hospital, configure

PIPELINE, MODEL = "a" * 64, "b" * 64


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_url, blobs=str(tmp_path / "blobs"), max_upload_bytes=1 << 20, site="here")


@pytest.fixture
def hospital(redis_client: redis.Redis) -> Hospital:
    """The configured site that every request of `http` comes from."""
    return configure(redis_client, "here")


@pytest.fixture
def app(settings: Settings, redis_client: redis.Redis) -> Flask:
    return create_app(settings)


@pytest.fixture
def http(app: Flask, hospital: Hospital) -> Iterator[FlaskClient]:
    """Sends the hospital's key."""
    with app.test_client() as client:
        client.environ_base["HTTP_AUTHORIZATION"] = hospital.headers["Authorization"]
        yield client


@pytest.fixture
def blobs(settings: Settings) -> BlobStore:
    return BlobStore(settings.blobs)


def nifti(shape: tuple[int, ...] = (8, 9, 10), dtype: str = "int16", seed: int = 0) -> bytes:
    """An uncompressed NIfTI-1 of noise."""
    voxels = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    return nib.Nifti1Image(voxels, np.diag([2.0, 2, 2, 1])).to_bytes()


def head(seed: int = 0) -> Stack:
    """A bright ellipsoid on the training grid, inside an oblique input of 60 x 50 x 40 voxels."""
    z, y, x = np.mgrid[0:SLICES, 0:HEIGHT, 0:WIDTH]
    inside = ((x - 88) / 60) ** 2 + ((y - 104) / 75) ** 2 + ((z - 16) / 30) ** 2 < 1
    noise = np.random.default_rng(seed).integers(0, 30, inside.shape)
    turn = np.deg2rad(10)
    affine = np.array(
        [
            [4 * np.cos(turn), -4 * np.sin(turn), 0, -115],
            [4 * np.sin(turn), 4 * np.cos(turn), 0, -120],
            [0, 0, 4, -70],
            [0, 0, 0, 1],
        ]
    )
    grid = np.array([[-1.0, 0, 0, 89], [0, 1, 0, -126], [0, 0, 1, 1], [0, 0, 0, 1]])
    return Stack(
        (inside * (150 + noise)).astype(np.uint8),
        grid_to_world=grid,
        input_shape=(60, 50, 40),
        input_affine=affine,
        quality={"brain_ml": 1430.5, "contrast": 1.31},
        seconds={"strip": 0.21, "register": 0.1},
    )


def maps(seed: int = 0) -> Explanation:
    """Smooth evidence: the last class sees most, the first nothing."""
    random = np.random.default_rng(seed).random((SLICES, 3, 7, 6))
    strength = np.array([0.0, 0.6, 2.0])[None, :, None, None]
    return Explanation((random * strength).astype(np.float16), random.mean(axis=(2, 3)).astype(np.float32))


def result() -> Result:
    return Result(
        cdr=">=1",
        label="mild or worse",
        probabilities=Probabilities(cdr0=0.1, cdr05=0.3, cdr1=0.6),
        interval=Intervals(cdr0=(0.02, 0.2), cdr05=(0.2, 0.5), cdr1=(0.4, 0.8)),
        prediction_set=["0.5", ">=1"],
        uncertain=False,
        out_of_distribution=0.7,
        model_digest=MODEL,
        pipeline_digest=PIPELINE,
        model_engine="int8 x86",
        regions={"medial temporal lobe": 1.4, "frontal cortex": 0.6},
        quality={"brain_ml": 1430.5},
        seconds={"preprocess": 0.4, "infer": 0.2},
    )


@pytest.fixture
def finish(redis_client: redis.Redis, blobs: BlobStore) -> Callable[..., None]:
    """Carry the one waiting job through both stages, as the workers do; `more` goes into the result."""

    def carry(job_id: str, more: Mapping[str, Any] | None = None) -> None:
        job_store, stack, explanation = JobStore(redis_client), head(), maps()
        deployed.publish(redis_client, "pipeline", PIPELINE)
        deployed.publish(redis_client, "model", MODEL)
        (first,) = job_store.claim(Stage.PREPROCESS, "test")
        assert first.id == job_id
        site, content = first.job.site, first.job.text("content_digest")
        where = stack_path(site, first.job.artifact_prefix, PIPELINE)
        blobs.put(where, stack.to_bytes())
        job_store.advance(
            first,
            Stage.INFER,
            {
                "stack_blob": where,
                "pipeline_digest": PIPELINE,
                "seconds_preprocess": json.dumps(stack.seconds),
                "quality": json.dumps(stack.quality),
            },
        )
        (second,) = job_store.claim(Stage.INFER, "test")
        shown = explanation_path(site, first.job.artifact_prefix, pipeline=PIPELINE, model=MODEL)
        blobs.put(shown, explanation.to_bytes())
        text = result().model_copy(update=dict(more or {})).model_dump_json()
        job_store.succeed(
            second,
            {"result": text, "explanation_blob": shown, "model_digest": MODEL},
            cache=CacheEntry(cache_key(site, content, pipeline=PIPELINE, model=MODEL), text, 60),
        )

    return carry


@pytest.fixture
def submitted(http: FlaskClient) -> str:
    """The id of a job that waits."""
    answer = http.post("/v1/jobs", data=nifti(), content_type="application/octet-stream")
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])


@pytest.fixture
def finished(submitted: str, finish: Callable[[str], None]) -> str:
    """The id of a job with a result and pictures."""
    finish(submitted)
    return submitted


def form(data: bytes, **fields: str) -> dict[str, object]:
    """A multipart form as browsers send it."""
    return {**fields, "file": (io.BytesIO(data), "MRI of somebody.nii")}


def encoded(data: bytes) -> dict[str, object]:
    """A form as bytes; the test client would put a large one into a file that it leaves open."""
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    return {"data": head + data + b"\r\n--edge--\r\n", "content_type": "multipart/form-data; boundary=edge"}
