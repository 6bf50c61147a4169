"""Batches: one handle, counts that follow every transition, a list of jobs, and nobody else's business."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from jobstore import batches, keys
from runtime.blobs import BlobStore
from tests.integration.gateway.conftest import form, nifti
from tests.support.hospital import configure

pytestmark = pytest.mark.integration

RAW = "application/octet-stream"


@pytest.fixture
def batch(http: FlaskClient) -> str:
    """The id of an open batch that expects three jobs."""
    answer = http.post("/v1/batches", json={"description": "re-read", "expected": 3})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/batches/{answer.json['id']}"
    assert (answer.json["total"], answer.json["complete"]) == (0, False)
    return str(answer.json["id"])


@pytest.fixture
def send(http: FlaskClient, batch: str) -> Callable[[int], str]:
    """Send the volume of this number in the batch, by header; its job's id."""

    def post(seed: int) -> str:
        headers = {"Hippocamp-Batch": batch}
        answer = http.post("/v1/jobs", data=nifti(seed=seed), content_type=RAW, headers=headers)
        assert answer.status_code in {200, 202}, answer.text
        assert answer.json["batch"] == batch
        return str(answer.json["id"])

    return post


def read(http: FlaskClient, batch: str, query: str = "") -> dict[str, Any]:
    answer = http.get(f"/v1/batches/{batch}{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def some(counts: dict[str, int]) -> dict[str, int]:
    return {state: number for state, number in counts.items() if number}


def test_counts_follow_jobs_through_their_states(
    http: FlaskClient, batch: str, send: Callable[[int], str], finish: Callable[[str], None]
) -> None:
    first = send(0)
    assert some(read(http, batch)["counts"]) == {"queued": 1}
    finish(first)
    assert some(read(http, batch)["counts"]) == {"succeeded": 1}
    send(0)  # the same bytes: born succeeded from the cache
    assert (read(http, batch)["total"], read(http, batch)["ended"], read(http, batch)["complete"]) == (
        2,
        2,
        False,
    )
    last = send(1)
    http.post(f"/v1/jobs/{last}/cancel")
    found = read(http, batch)
    assert some(found["counts"]) == {"succeeded": 2, "canceled": 1}
    assert (found["total"], found["ended"], found["complete"], found["expected"]) == (3, 3, True, 3)
    assert found["description"] == "re-read"


def test_a_form_field_names_it_too_and_a_repeated_request_counts_once(
    http: FlaskClient, batch: str, send: Callable[[int], str]
) -> None:
    for _ in range(2):
        answer = http.post(
            "/v1/jobs", data=form(nifti()) | {"batch": batch}, headers={"Idempotency-Key": "study 7"}
        )
        assert (answer.status_code, answer.json["batch"]) == (202, batch)
    assert read(http, batch)["total"] == 1
    answer = http.post("/v1/jobs", data=form(nifti()), headers={"Idempotency-Key": "study 7"})
    assert (answer.status_code, answer.json["code"], answer.json["field"]) == (
        422,
        "request.key_reused",
        "batch",
    )


def test_its_jobs_come_page_by_page(http: FlaskClient, batch: str, send: Callable[[int], str]) -> None:
    http.post("/v1/jobs", data=form(nifti(seed=9)))
    sent = {send(seed) for seed in range(5)}
    http.post(f"/v1/jobs/{min(sent)}/cancel")
    seen, after = [], ""
    while True:
        page = read(http, batch, f"?limit=2{after}")
        seen += [job["id"] for job in page["jobs"]]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert (len(seen), set(seen)) == (5, sent)
    assert [job["id"] for job in read(http, batch, "?state=canceled")["jobs"]] == [min(sent)]
    assert http.get(f"/v1/batches/{batch}?after=x").json["code"] == "request.bad_value"


def test_an_erased_job_leaves_it_and_the_last_takes_it_along(
    http: FlaskClient, batch: str, send: Callable[[int], str], redis_client: redis.Redis
) -> None:
    first, second = send(0), send(1)
    http.delete(f"/v1/jobs/{first}")
    found = read(http, batch)
    assert some(found["counts"]) == {"queued": 1}
    assert [job["id"] for job in found["jobs"]] == [second]
    http.delete(f"/v1/jobs/{second}")
    assert http.get(f"/v1/batches/{batch}").json["code"] == "batch.not_found"
    assert redis_client.keys(f"{keys.PREFIX}:*{batch}*") == []


def test_a_handle_that_nobody_uses_goes_by_itself_a_used_one_stays(
    redis_client: redis.Redis, batch: str, send: Callable[[int], str]
) -> None:
    assert 29 * 86400 < redis_client.ttl(keys.batch(batch)) <= 30 * 86400
    send(0)
    assert redis_client.ttl(keys.batch(batch)) == -1


@pytest.mark.parametrize("how", ["header", "field"])
def test_an_unknown_batch_takes_no_job(
    http: FlaskClient, blobs: BlobStore, redis_client: redis.Redis, how: str
) -> None:
    unknown = batches.new_batch_id()
    sent = form(nifti()) | ({"batch": unknown} if how == "field" else {})
    headers = {"Hippocamp-Batch": unknown} if how == "header" else {}
    answer = http.post("/v1/jobs", data=sent, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (404, "batch.not_found")
    assert redis_client.keys(keys.record("*")) == []
    assert [p for p in Path(blobs._root).rglob("*") if p.is_file()] == []
    answer = http.post("/v1/jobs", data=form(nifti()), headers={"Hippocamp-Batch": "mine"})
    assert (answer.status_code, answer.json["code"]) == (400, "request.bad_value")


def test_another_site_neither_reads_it_nor_adds_to_it(
    http: FlaskClient, redis_client: redis.Redis, batch: str, send: Callable[[int], str]
) -> None:
    send(0)
    there = configure(redis_client, "there").headers
    assert http.get(f"/v1/batches/{batch}", headers=there).json["code"] == "batch.not_found"
    named = there | {"Hippocamp-Batch": batch}
    answer = http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=named)
    assert (answer.status_code, answer.json["code"]) == (404, "batch.not_found")
    assert read(http, batch)["total"] == 1


@pytest.mark.parametrize(
    "body", [{"expected": 0}, {"expected": "many"}, {"name": "x"}, {"description": "x" * 201}]
)
def test_what_a_batch_cannot_be(http: FlaskClient, body: dict[str, object]) -> None:
    assert http.post("/v1/batches", json=body).json["code"] == "request.bad_value"
