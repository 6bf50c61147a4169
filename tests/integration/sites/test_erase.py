"""Erasing: nothing of a job stays but its tombstone, and nobody else loses anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from flask.testing import FlaskClient

from contracts.job import Claim
from contracts.states import Stage
from jobstore import deployed, keys
from jobstore.result_cache import AnswerCache, CacheEntry, Known, cache_key
from jobstore.store import JobStore, LeaseLost
from runtime.blobs import BlobStore, explanation_path, stack_path
from tests.integration.gateway.conftest import MODEL, PIPELINE, head, maps, nifti, result
from tests.integration.sites.conftest import RAW, Caller

pytestmark = [pytest.mark.integration, pytest.mark.privacy]
Submit = Callable[..., str]


@pytest.fixture
def job_store(redis_client: redis.Redis) -> JobStore:
    """The line on Redis's own clock, as the gateway uses it."""
    return JobStore(redis_client)


def prepare(job_store: JobStore, blobs: BlobStore) -> Claim:
    """Claim the next job and store its stack, as the preprocess worker does before its commit."""
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job = claim.job
    blobs.put(stack_path(job.site, job.artifact_prefix, PIPELINE), head().to_bytes())
    return claim


def finish(job_store: JobStore, blobs: BlobStore) -> None:
    """Carry the next job to its end."""
    claim = prepare(job_store, blobs)
    job = claim.job
    site, content = job.site, job.text("content_digest")
    job_store.advance(claim, Stage.INFER, {"stack_blob": stack_path(site, job.artifact_prefix, PIPELINE)})
    (claim,) = job_store.claim(Stage.INFER, "w")
    shown = explanation_path(site, job.artifact_prefix, pipeline=PIPELINE, model=MODEL)
    blobs.put(shown, maps().to_bytes())
    entry = CacheEntry(
        cache_key(site, content, pipeline=PIPELINE, model=MODEL), result().model_dump_json(), 60
    )
    job_store.succeed(claim, {"result": entry.value, "explanation_blob": shown}, cache=entry)


def traces(redis_client: redis.Redis, blobs: BlobStore, *needles: str) -> set[str]:
    """Keys and blobs that mention any of the needles."""
    found = set(blobs._fs.find(blobs._root))
    for key in redis_client.keys("*"):
        kind = redis_client.type(key)
        value = {
            "string": lambda k: redis_client.get(k), "hash": redis_client.hgetall,
            "set": redis_client.smembers, "list": lambda k: redis_client.lrange(k, 0, -1),
            "zset": lambda k: redis_client.zrange(k, 0, -1),
        }[kind](key)  # fmt: skip
        if any(needle in f"{key} {value}" for needle in needles):
            found.add(key)
    return found


def test_an_erased_job_leaves_its_tombstone_and_nothing_else(
    http: FlaskClient,
    redis_client: redis.Redis,
    job_store: JobStore,
    blobs: BlobStore,
    north: Caller,
    submit: Submit,
) -> None:
    redis_client.hset(keys.endpoints("north"), "whe_x", "{}")
    job_id = submit(north)
    finish(job_store, blobs)
    http.get(f"/v1/jobs/{job_id}/explanation.nii.gz", headers=north.headers)
    digest = job_store.get(job_id).text("content_digest")
    assert len(traces(redis_client, blobs, job_id[4:], digest)) > 8
    assert http.delete(f"/v1/jobs/{job_id}", headers=north.headers).status_code == 204
    left = traces(redis_client, blobs, job_id[4:], digest)
    asked = {key for key in left if key.startswith(keys.claims(""))}
    assert all(0 < redis_client.ttl(key) <= 30 for key in asked), "what workers were given, for a lease"
    left -= asked
    assert left == {keys.record(job_id), keys.PENDING_DELETIONS, keys.SWEEP}, (
        "the last two are what is still to be swept"
    )
    assert set(redis_client.hgetall(keys.record(job_id))) == {"id", "kind", "site", "erased_ms"}
    for path in ("", "/result", "/slices/3.png", "/explanation.nii.gz"):
        answer = http.get(f"/v1/jobs/{job_id}{path}", headers=north.headers)
        assert (answer.status_code, answer.json["code"]) == (410, "job.erased")
    assert http.delete(f"/v1/jobs/{job_id}", headers=north.headers).status_code == 410
    assert http.get("/v1/jobs", headers=north.headers).json["jobs"] == []
    assert redis_client.zcard(keys.turns("deliver")) == 0
    assert redis_client.hget(keys.DEPTH, "deliver") == "0"
    assert {int(n) for n in redis_client.hvals(keys.count("north"))} == {0}


def test_only_its_site_learns_that_it_was_erased(
    http: FlaskClient, north: Caller, south: Caller, submit: Submit
) -> None:
    job_id = submit(north)
    http.delete(f"/v1/jobs/{job_id}", headers=north.headers)
    assert http.get(f"/v1/jobs/{job_id}", headers=south.headers).status_code == 404
    assert http.delete(f"/v1/jobs/{job_id}", headers=south.headers).status_code == 404


def test_a_running_job_ends_and_its_worker_publishes_nothing(
    http: FlaskClient,
    redis_client: redis.Redis,
    job_store: JobStore,
    blobs: BlobStore,
    north: Caller,
    submit: Submit,
) -> None:
    job_id = submit(north)
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job = claim.job
    http.delete(f"/v1/jobs/{job_id}", headers=north.headers)
    late = stack_path("north", job.artifact_prefix, PIPELINE)
    blobs.put(late, head().to_bytes())
    with pytest.raises(LeaseLost):
        job_store.advance(claim, Stage.INFER)
    assert not job_store.renew(claim)
    redis_client.delete(keys.PENDING_DELETIONS)
    job_store.now_ms = int(redis_client.time()[0] * 1000) + 16 * 60_000
    job_store.reap()
    assert late.rpartition("/")[0] + "/" in redis_client.lrange(keys.PENDING_DELETIONS, 0, -1)
    assert redis_client.get(keys.held_bytes("north")) == "0"


def test_bytes_sent_anew_lose_nothing_to_the_deletion_of_the_erased_ones(
    http: FlaskClient, job_store: JobStore, blobs: BlobStore, north: Caller, submit: Submit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The folders are deleted late, when the same bytes have been through the line once more."""
    first = submit(north)
    finish(job_store, blobs)
    late: list[str] = []
    with monkeypatch.context() as slow:
        slow.setattr(BlobStore, "delete", lambda _, path: late.append(path))
        assert http.delete(f"/v1/jobs/{first}", headers=north.headers).status_code == 204
    second = submit(north)
    finish(job_store, blobs)
    for path in [*late, *job_store.redis.lrange(keys.PENDING_DELETIONS, 0, -1)]:
        if path != job_store.get(second).text("input_blob"):
            blobs.delete(path)
    for shown in ("slices/3.png", "explanation.nii.gz"):
        assert http.get(f"/v1/jobs/{second}/{shown}", headers=north.headers).status_code == 200


def test_what_another_job_of_the_site_shares_stays(
    http: FlaskClient,
    job_store: JobStore,
    blobs: BlobStore,
    redis_client: redis.Redis,
    north: Caller,
    submit: Submit,
) -> None:
    first = submit(north)
    finish(job_store, blobs)
    for what, digest in (("pipeline", PIPELINE), ("model", MODEL)):
        deployed.publish(redis_client, what, digest)
    second = submit(north)
    assert http.get(f"/v1/jobs/{second}", headers=north.headers).json["cache"] == "hit"
    http.delete(f"/v1/jobs/{first}", headers=north.headers)
    assert http.get(f"/v1/jobs/{second}/slices/3.png", headers=north.headers).status_code == 200
    http.delete(f"/v1/jobs/{second}", headers=north.headers)
    assert redis_client.keys(keys.cached_result("*")) == []
    assert blobs._fs.find(blobs._root) == []


def test_the_same_bytes_at_another_site_are_untouched_and_unknown(
    http: FlaskClient, job_store: JobStore, blobs: BlobStore, redis_client: redis.Redis,
    north: Caller, south: Caller, submit: Submit,
) -> None:  # fmt: skip
    ours = submit(north)
    finish(job_store, blobs)
    for what, digest in (("pipeline", PIPELINE), ("model", MODEL)):
        deployed.publish(redis_client, what, digest)
    answer = http.post("/v1/jobs", data=nifti(), headers=south.headers, content_type=RAW)
    assert (answer.status_code, answer.json["cache"]) == (202, "miss")
    finish(job_store, blobs)
    http.delete(f"/v1/jobs/{ours}", headers=north.headers)
    theirs = answer.json["id"]
    assert http.get(f"/v1/jobs/{theirs}/slices/3.png", headers=south.headers).status_code == 200
    again = http.post("/v1/jobs", data=nifti(), headers=south.headers, content_type=RAW)
    assert again.status_code == 200


def test_a_hit_stores_nothing_and_one_that_is_erased_meanwhile_is_new(
    http: FlaskClient, north: Caller, job_store: JobStore, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.publish(job_store.redis, "pipeline", PIPELINE)
    deployed.publish(job_store.redis, "model", MODEL)

    def send() -> dict[str, str]:
        sent = http.post("/v1/jobs", data=nifti(), headers=north.headers, content_type=RAW)
        return dict(sent.json)

    send()
    finish(job_store, blobs)
    hit = send()
    assert hit["cache"] == "hit"
    assert not blobs.exists(job_store.record(hit["id"])["input_blob"])
    find = AnswerCache.find

    def and_forget(answers: AnswerCache, site: str, content: str, **asked: str) -> Known | None:
        found = find(answers, site, content, **asked)
        job_store.redis.delete(keys.cached_names(site, content))
        return found

    monkeypatch.setattr(AnswerCache, "find", and_forget)
    new = send()
    assert (new["cache"], new["state"]) == ("miss", "queued")
    record = job_store.record(new["id"])
    assert blobs.exists(record["input_blob"])
    assert "unstored" not in record
