"""While a job waits, what lies on disk and in Redis names nobody, whatever the upload said."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.settings import Settings
from tests.hostile.dicom_files import FIRST, STUDY
from tests.integration.sites.conftest import RAW, Caller
from tests.unit.gateway.test_sanitize import CANARY, FORMATS

pytestmark = [pytest.mark.integration, pytest.mark.privacy]


def lying_about(settings: Settings) -> bytes:
    """Every byte under the blob store's folder."""
    files = [path for path in Path(settings.blobs).rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


def in_redis(client: redis.Redis) -> bytes:
    """Every key and value."""
    return b"".join(key.encode() + (client.dump(key) or b"") for key in client.keys("*"))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_waiting_upload_names_nobody(
    kind: str, http: FlaskClient, north: Caller, settings: Settings, redis_client: redis.Redis
) -> None:
    sent = http.post("/v1/jobs", data=FORMATS[kind](), headers=north.headers, content_type=RAW)
    assert sent.status_code == 202, sent.text
    kept = lying_about(settings)
    assert len(kept) > 1000
    assert CANARY[:4] not in kept + in_redis(redis_client).replace(b"\n", b"")
    assert CANARY[:4] not in sent.data


def test_a_refused_upload_leaves_nothing(http: FlaskClient, north: Caller, settings: Settings) -> None:
    cut = gzip.compress(FORMATS["nifti"]())[:-20]
    assert http.post("/v1/jobs", data=cut, headers=north.headers, content_type=RAW).status_code == 422
    audit = settings.audit_file.read_bytes()
    assert lying_about(settings).replace(audit, b"") == b""
    assert CANARY[:4] not in audit


def test_what_is_asked_for_is_told_to_its_site_alone(
    http: FlaskClient, north: Caller, south: Caller, submit: Callable[..., str]
) -> None:
    asked = north.headers | {"Hippocamp-Keep": "sex,age"}
    job = http.post("/v1/jobs", data=FORMATS["dicom"](), headers=asked, content_type=RAW).json
    assert job["patient"] == {"age_years": 71, "sex": "F"}
    assert http.get(f"/v1/jobs/{job['id']}", headers=south.headers).status_code == 404
    assert http.delete(f"/v1/jobs/{job['id']}", headers=north.headers).status_code == 204
    erased = http.get(f"/v1/jobs/{job['id']}", headers=north.headers)
    assert erased.status_code == 410
    assert "patient" not in erased.json


def test_other_options_are_refused(http: FlaskClient, north: Caller) -> None:
    asked = north.headers | {"Hippocamp-Keep": "name"}
    sent = http.post("/v1/jobs", data=FORMATS["dicom"](), headers=asked, content_type=RAW)
    assert (sent.status_code, sent.json["code"]) == (400, "request.bad_value")


def test_identifiers_are_mapped_when_there_is_a_secret(
    north: Caller, settings: Settings, redis_client: redis.Redis
) -> None:

    mapping: Flask = create_app(replace(settings, uid_secret="a secret"))
    with mapping.test_client() as http:
        sent = http.post("/v1/jobs", data=FORMATS["dicom"](), headers=north.headers, content_type=RAW)
    assert sent.status_code == 202
    kept = lying_about(settings)
    assert str(STUDY).encode() not in kept
    assert str(FIRST).encode() not in kept
    assert b"2.25." in kept
