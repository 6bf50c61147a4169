"""What the benches send and as whom: the mode they print is the one that the gateway sees."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import redis
from flask import Flask

from bench import scans
from bench.site import OPEN, configure, hospital
from gateway.settings import Settings
from jobstore import sites
from jobstore.sites import Site

pytestmark = pytest.mark.integration
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Nothing but the defaults."""
    return Settings(redis_url=redis_url, blobs=str(tmp_path / "blobs"))


@pytest.mark.parametrize("write", [scans.nifti, scans.dicom])
def test_a_site_sends_real_scans_under_default_quotas(
    app: Flask, redis_client: redis.Redis, tmp_path: Path, write: scans.Writer
) -> None:
    site = hospital().site
    assert site is not None
    headers = {**configure(redis_client, site), **RAW}
    body = write(tmp_path / "scan", 1).read_bytes()
    with app.test_client() as http:
        answer = http.post("/v1/jobs", data=body, headers=headers)
        assert (answer.status_code, answer.json["state"]) == (202, "queued"), answer.text
        assert http.post("/v1/jobs", data=body, headers=RAW).status_code == 401
    assert sites.find(redis_client, site.name) == Site(name=site.name)
    assert 12_000_000 < len(body) < 13_000_000


@pytest.mark.parametrize("write", [scans.nifti, scans.dicom])
def test_a_scan_is_the_same_for_the_same_number_only(tmp_path: Path, write: scans.Writer) -> None:
    one, again, other = (write(tmp_path / f"{n}", n % 2).read_bytes() for n in (0, 2, 1))
    assert hashlib.sha256(one).digest() == hashlib.sha256(again).digest()
    assert hashlib.sha256(one).digest() != hashlib.sha256(other).digest()


def test_the_mode_names_what_is_raised() -> None:
    assert str(hospital()).endswith("default quotas")
    assert str(hospital(requests_per_second=200)).endswith("requests_per_second 200 instead of 50.0")
    assert str(OPEN).startswith("open mode")
