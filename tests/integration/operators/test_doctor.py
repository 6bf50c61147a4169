"""`doctor` with a site's key: it sends a scan as the site would, and says what stands in its way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
import redis

from client.connection import Connection
from contracts.errors import DeliveryFailed
from contracts.job import Submission, new_job_id
from contracts.states import Stage
from jobstore import api_keys, draining, keys, sites, webhook_endpoints
from jobstore.api_keys import Scope
from jobstore.store import JobStore
from operators.doctor import canary_checks
from operators.doctor.checks import Finding, Verdict, service_checks
from tests.conftest import free_port
from tests.integration.client.conftest import Carrier, Run

Issue = Callable[..., str]


@pytest.fixture
def key(redis_client: redis.Redis) -> Issue:
    """A key of the site north, which has the default quotas unless told otherwise."""

    def issue(scopes: frozenset[Scope] = frozenset(Scope), **about: object) -> str:
        sites.save(redis_client, sites.Site(name="north", **about))  # type: ignore[arg-type]
        return api_keys.issue(redis_client, "north", scopes, now_ms=int(time.time() * 1000))[0]

    return issue


def submitted(url: str, text: str, *, wait_seconds: float = 10) -> Finding:
    (found,) = canary_checks.canary_checks(Connection(url, text, 10), wait_seconds=wait_seconds)
    return found


def test_a_scan_over_a_megabyte_is_taken_followed_and_erased(
    url: str, carrier: Carrier, key: Issue, redis_client: redis.Redis
) -> None:
    assert len(canary_checks.scan()) > 1 << 20
    assert canary_checks.scan() != canary_checks.scan()
    found = submitted(url, key())
    assert found.verdict is Verdict.GOOD, found
    assert "worked on in" in found.found
    assert redis_client.zcard(keys.jobs_of_site("north")) == 0


def test_a_key_that_may_only_submit_shows_that_it_is_taken(url: str, carrier: Carrier, key: Issue) -> None:
    carrier.pause.set()
    found = submitted(url, key(frozenset({Scope.SUBMIT})))
    assert (found.verdict, "may not follow" in found.found) == (Verdict.GOOD, True)


def test_a_key_that_may_not_submit_is_said_so(url: str, carrier: Carrier, key: Issue) -> None:
    assert submitted(url, key(frozenset({Scope.READ}))).verdict is Verdict.SKIPPED


def test_a_site_at_its_quota_is_worth_a_look(url: str, carrier: Carrier, key: Issue) -> None:
    found = submitted(url, key(most_bytes=1000))
    assert found.verdict in {Verdict.ODD, Verdict.BAD}
    assert "quota.exceeded" in found.found


def test_a_scan_that_nobody_works_on_is_bad(url: str, carrier: Carrier, key: Issue) -> None:
    carrier.pause.set()
    found = submitted(url, key(), wait_seconds=1)
    assert (found.verdict, found.found) == (Verdict.BAD, "a scan was taken, but is queued after 1 s")
    assert "hippocamp-admin top" in found.advice


def test_a_scan_that_the_service_refuses_is_bad_with_its_code(
    url: str, carrier: Carrier, key: Issue, redis_client: redis.Redis
) -> None:
    text = key(requests_per_second=0.0)
    redis_client.set(keys.DEPTH, "no hash")  # every script of the job store breaks on this
    found = submitted(url, text)
    redis_client.delete(keys.DEPTH)
    assert found.verdict is Verdict.BAD
    assert "internal" in found.found


def test_without_a_key_nothing_is_sent(url: str, redis_client: redis.Redis, carrier: Carrier) -> None:
    assert submitted(url, "").verdict is Verdict.SKIPPED
    assert redis_client.keys(keys.jobs_of_site("*")) == []


def test_the_command_sends_it_unless_told_not_to(admin: Run, environment: dict[str, str], key: Issue) -> None:
    environment["HIPPOCAMP_API_KEY"] = key()
    for options, wanted in (((), "ok"), (("--no-submit",), None)):
        done = admin("doctor", "--json", *options)
        rows = {row["check"]: row["verdict"] for row in map(json.loads, done.stdout.splitlines())}
        assert rows.get("submit") == wanted


def test_a_drained_stage_is_seen_without_the_address_of_redis(
    admin: Run, environment: dict[str, str], key: Issue, redis_client: redis.Redis
) -> None:
    environment["HIPPOCAMP_API_KEY"] = key()
    environment.pop("HIPPOCAMP_REDIS_URL", None)
    redis_client.hset(keys.DRAINED, "stage:infer", 1)
    done = admin("doctor", "--json", "--no-submit")
    (row,) = [row for row in map(json.loads, done.stdout.splitlines()) if row["check"] == "drained"]
    assert row["found"] == "stage:infer claims nothing"
    assert row["advice"] == "hippocamp-admin drain --undo infer"
    assert draining.drained(redis_client)


def test_deliveries_that_failed_and_repeated_ones_are_counted_apart(
    url: str, carrier: Carrier, key: Issue, redis_client: redis.Redis
) -> None:
    """78 that failed at once were "78 failed, -73 repeated"."""
    carrier.pause.set()
    text, job_store = key(), JobStore(redis_client)
    for number in range(3):
        made = webhook_endpoints.new_endpoint("north", f"https://hook.example.org/{number}", now_ms=number)
        webhook_endpoints.save(redis_client, made)
    about = {"content_digest": "c", "input_blob": "b", "size_bytes": 1, "media": "m"}
    job = Submission(id=new_job_id(), site="north", **about)  # type: ignore[arg-type]
    job_store.submit(job)
    job_store.cancel(job.id)
    first, second = (job_store.claim(Stage.DELIVER, "test")[0] for _ in range(2))
    job_store.release(first, "no answer", delay_seconds=0)
    redis_client.hset(keys.record(first.id), "attempt", 2)
    job_store.fail(second, DeliveryFailed("The endpoint was removed"))
    found = [one for one in service_checks(Connection(url, text, 10)) if one.what == "webhooks"]
    assert [one.found for one in found] == ["3 endpoints; 1 failed, 1 repeated"]


def test_the_command_and_its_status(admin: Run, environment: dict[str, str]) -> None:
    blind = admin("doctor", "--exporter", "http://127.0.0.1:9/metrics", "--json")
    found = {check["check"]: check["verdict"] for check in map(json.loads, blind.stdout.splitlines())}
    assert (blind.returncode, found.pop("exporter")) == (10, "BAD")
    assert set(found.values()) == {"ok"}, blind.stdout
    environment["HIPPOCAMP_URL"] = f"http://127.0.0.1:{free_port()}"
    bad = admin("doctor")
    assert bad.returncode == 10
    assert "see HIPPOCAMP_URL" in bad.stdout
