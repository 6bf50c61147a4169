"""One STOW-RS request of a site cannot cost more than its limits: parts, failures that are listed, memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gateway.dicomweb.store import MOST_PARTS
from gateway.settings import Settings
from tests.integration.sites.conftest import Caller

TYPE = 'multipart/related; type="application/dicom"; boundary=b'
EMPTY = b"--b\r\n\r\n\r\n"


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """With the default limit on the bytes of an upload."""
    return Settings(redis_url=redis_url, blobs=str(tmp_path / "blobs"))


def post(http: FlaskClient, caller: Caller, body: bytes) -> object:
    return http.post("/dicom-web/studies", data=body, content_type=TYPE, headers=caller.headers)


def test_the_part_after_the_last_that_is_taken_ends_the_request(http: FlaskClient, north: Caller) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    answer = post(http, north, EMPTY * 300_000 + b"--b--")
    assert (answer.status_code, answer.json["code"]) == (413, "input.too_large")
    assert answer.json["limit_parts"] == MOST_PARTS
    assert "several requests" in answer.json["detail"]
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_failures_without_an_identity_are_listed_as_far_as_anybody_reads(
    http: FlaskClient, north: Caller
) -> None:
    answer = post(http, north, EMPTY * (MOST_PARTS - 1) + b"--b--")
    assert answer.status_code == 409
    failures = answer.get_json(force=True)["0008119A"]["Value"]
    assert len(failures) == 101
    assert len(answer.data) < 50_000
    assert str(MOST_PARTS - 1 - 100) in str(failures[-1])
