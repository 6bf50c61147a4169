"""Age, sex, education and MMSE at submission: kept with the job, and part of the question."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from flask.testing import FlaskClient

from contracts.covariates import Covariates
from jobstore import deployed, keys
from jobstore.store import JobStore
from tests.integration.gateway.conftest import MODEL, form, nifti

pytestmark = pytest.mark.integration

RAW = "application/octet-stream"
TOLD = {"age": "71.5", "sex": "F", "education": "3", "mmse": "27"}


@pytest.mark.parametrize("way", ["form", "headers"])
def test_they_are_kept_with_the_job_and_shown_with_it(
    http: FlaskClient, job_store: JobStore, way: str
) -> None:
    headers = {f"Hippocamp-{name}": value for name, value in TOLD.items()}
    sent = (
        http.post("/v1/jobs", data=form(nifti(), **TOLD))
        if way == "form"
        else http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=headers)
    )
    assert sent.status_code == 202, sent.text
    assert sent.json["covariates"] == {"age": 71.5, "sex": "F", "education": 3, "mmse": 27}
    kept = Covariates.of(job_store.get(sent.json["id"]).text("covariates"))
    assert kept.row() == [27, 71.5, 0, 3]
    assert http.delete(f"/v1/jobs/{sent.json['id']}").status_code == 204
    assert set(job_store.record(sent.json["id"])) == {"id", "kind", "site", "erased_ms"}


def test_without_them_nothing_is_kept(http: FlaskClient, job_store: JobStore) -> None:
    sent = http.post("/v1/jobs", data=form(nifti()))
    assert sent.json["covariates"] is None
    assert "covariates" not in job_store.record(sent.json["id"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("age", "17"), ("age", "121"), ("age", "nan"), ("age", "old"), ("sex", "O"), ("sex", "f"),
        ("education", "0"), ("education", "16"), ("education", "2.5"), ("mmse", "31"), ("mmse", "-1"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_know_has_a_code_of_its_own(
    http: FlaskClient, redis_client: redis.Redis, name: str, value: str
) -> None:
    for sent in (
        http.post("/v1/jobs", data=form(nifti(), **{name: value})),
        http.post("/v1/jobs", data=nifti(), content_type=RAW, headers={f"Hippocamp-{name}": value}),
    ):
        assert (sent.status_code, sent.json["code"]) == (422, "request.bad_covariate"), sent.text
        assert sent.json["field"] == name
    assert redis_client.keys(keys.record("*")) == []


def test_they_are_part_of_the_question(http: FlaskClient, finish: Callable[[str], None]) -> None:
    """The answer of the image alone is none for somebody of whom more is known."""
    first = http.post("/v1/jobs", data=form(nifti()))
    finish(first.json["id"])
    assert http.post("/v1/jobs", data=form(nifti())).json["cache"] == "hit"
    assert http.post("/v1/jobs", data=form(nifti(), mmse="27")).json["cache"] == "miss"


def test_a_key_belongs_to_what_was_told(http: FlaskClient) -> None:
    key = {"Idempotency-Key": "study-1"}
    first = http.post("/v1/jobs", data=form(nifti(), age="71"), headers=key)
    again = http.post("/v1/jobs", data=form(nifti(), age="71.0"), headers=key)
    assert (again.json["id"], again.headers["Idempotency-Replayed"]) == (first.json["id"], "true")
    other = http.post("/v1/jobs", data=form(nifti(), age="72"), headers=key)
    assert (other.status_code, other.json["code"], other.json["field"]) == (
        422,
        "request.key_reused",
        "covariates",
    )


def test_a_model_may_be_named_by_its_digest(
    http: FlaskClient, job_store: JobStore, redis_client: redis.Redis
) -> None:
    new = "c" * 64
    for digest in (MODEL, new):
        deployed.describe(redis_client, digest, "# Card")
    deployed.publish(redis_client, "model", MODEL)
    sent = http.post("/v1/jobs", data=form(nifti(), model=new[:12]))
    assert (sent.status_code, sent.json["model"]) == (202, new)
    assert job_store.get(sent.json["id"]).text("wanted_model") == new
    assert http.post("/v1/jobs", data=form(nifti())).json["model"] is None
    unknown = http.post("/v1/jobs", data=form(nifti(), model="d" * 64))
    assert (unknown.status_code, unknown.json["code"]) == (404, "model.not_found")
    assert http.post("/v1/jobs", data=form(nifti(), model="../x")).json["code"] == "request.bad_value"


def test_an_answer_of_another_model_is_no_hit(
    http: FlaskClient, finish: Callable[[str], None], redis_client: redis.Redis
) -> None:
    first = http.post("/v1/jobs", data=form(nifti()))
    finish(first.json["id"])
    for digest in (MODEL, "c" * 64):
        deployed.describe(redis_client, digest, "# Card")
    assert http.post("/v1/jobs", data=form(nifti(), model="c" * 64)).json["cache"] == "miss"
    assert http.post("/v1/jobs", data=form(nifti(), model=MODEL)).json["cache"] == "hit"
