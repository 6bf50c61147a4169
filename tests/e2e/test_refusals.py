"""Whatever is sent, the answer is a 4xx or a failed job with its own code, and the next job is served."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import volumes
from tests.e2e.service import Service

pytestmark = pytest.mark.e2e

RNG = np.random.default_rng(1)

CASES: dict[str, tuple[Callable[[bytes], bytes], set[str]]] = {
    "text": (lambda good: b"this is no volume, it is a letter " * 50, {"input.not_a_volume"}),
    "picture": (lambda good: b"\x89PNG\r\n\x1a\n" + bytes(5000), {"input.not_a_volume"}),
    "empty": (lambda good: b"", {"input.empty"}),
    "truncated gzip": (lambda good: good[: len(good) // 2], {"input.truncated"}),
    "damaged gzip": (
        lambda good: good[:200_000] + bytes(64) + good[200_064:],
        {"input.corrupt", "input.truncated"},
    ),
    "gzip of text": (lambda good: gzip.compress(b"a letter " * 1000), {"input.not_a_volume"}),
    "4-D series": (
        lambda good: volumes.nifti(RNG.integers(0, 900, (32, 32, 32, 5)).astype(np.int16)),
        {"input.not_3d"},
    ),
    "2-D image": (lambda good: volumes.nifti(np.ones((64, 64), np.int16)), {"input.not_3d"}),
    "all zero": (lambda good: volumes.nifti(np.zeros((160, 160, 160), np.int16)), {"input.bad_voxels"}),
    "all NaN": (
        lambda good: volumes.nifti(np.full((96, 96, 96), np.nan, np.float32), np.diag([2.0, 2, 2, 1])),
        {"input.bad_voxels"},
    ),
    "sphere": (lambda good: volumes.nifti(volumes.sphere()), {"quality.not_a_head", "quality.registration"}),
    "noise": (
        lambda good: volumes.nifti(RNG.integers(0, 900, (160, 160, 160)).astype(np.int16)),
        {"quality.not_a_head", "quality.not_t1w", "quality.noise"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_gets_its_own_code(service: Service, volume: Path, name: str) -> None:
    make, codes = CASES[name]
    answer = service.send(make(volume.read_bytes()))
    if answer.status_code == 202:
        job = service.finished(answer.json()["id"])
        assert job["state"] == "failed"
        problem = job["error"]
    else:
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        problem = answer.json()
    assert problem["code"] in codes
    assert problem["detail"]
    assert problem["retryable"] is False


def test_not_a_volume_is_415(service: Service) -> None:
    assert service.send(b"a letter " * 100).status_code == 415


def test_unknown_id_wrong_method_wrong_type(service: Service) -> None:
    assert service.http.get("/v1/jobs/job_" + "0" * 32).status_code == 404
    assert service.http.get("/v1/nothing").status_code == 404
    assert service.http.put("/v1/jobs").status_code == 405
    answer = service.http.post("/v1/jobs", content=b"1;2", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 415
    assert answer.json()["code"]


def test_the_next_job_is_served(service: Service, volume: Path) -> None:
    sent = service.send_raw(volumes.nudged(volume, 5))
    assert sent.status_code == 202
    assert service.finished(sent.json()["id"])["state"] == "succeeded"
    assert service.http.get("/readyz").status_code == 200
