"""`hippocamp-admin sites` and `hippocamp-admin audit`, from the command line to the API that obeys them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result
from fhir.resources.R4B.auditevent import AuditEvent
from flask.testing import FlaskClient

from contracts.errors import StoreUnavailable
from gateway.settings import Settings
from jobstore import keys, sites
from jobstore.api_keys import prefix_of
from jobstore.operator_audit import take_over
from operators.audit_fhir import to_fhir
from operators.command import main
from runtime.audit import AuditLog, read, verify
from tests.integration.sites.conftest import Caller

pytestmark = [pytest.mark.integration, pytest.mark.isolation]
Run = Callable[..., Result]


@pytest.fixture
def run(redis_url: str, redis_client: redis.Redis) -> Run:
    def hippocamp(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["sites", "--redis", redis_url, *arguments])

    return hippocamp


def caller(result: Result) -> Caller:
    assert result.exit_code == 0, result.output
    text = result.stdout.strip()
    return Caller(text, prefix_of(text) or "")


def test_a_site_from_its_first_key_to_its_end(run: Run, http: FlaskClient, redis_client: redis.Redis) -> None:
    def status(of: Caller) -> int:
        return http.get("/v1/jobs", headers=of.headers).status_code

    first = caller(
        run("add", "north", "--weight", "2", "--retention-days", "7", "--requests-per-second", "0")
    )
    assert status(first) == 200
    assert http.get("/v1/jobs").status_code == 401
    assert run("add", "north").exit_code == 1
    second = caller(run("rotate", first.prefix, "--overlap-hours", "0"))
    assert (status(first), status(second)) == (401, 200)
    reader = caller(run("key", "north", "--scope", "read"))
    assert http.post("/v1/jobs", headers=reader.headers).status_code == 403
    shown = run("show", "north").output
    assert second.prefix in shown
    assert second.text not in shown
    assert "weight               2.0" in shown
    assert run("disable", second.prefix).exit_code == 0
    assert (status(second), status(reader)) == (401, 200)
    assert run("disable", "north").exit_code == 0
    assert status(reader) == 401
    assert "disabled" in run("list").output
    assert run("enable", "north").exit_code == 0
    assert status(reader) == 200
    assert run("change", "north", "--most-waiting", "5", "--webhook-allow", "10.0.0.0/8").exit_code == 0
    site = sites.find(redis_client, "north")
    assert (site.weight, site.most_waiting, site.webhook_allow) == (2.0, 5, ("10.0.0.0/8",))


@pytest.mark.parametrize("name", ["", "North", "a_b", "-a", "a" * 41, "../x", "a b"])
def test_a_name_that_could_be_mistaken_is_refused(run: Run, redis_client: redis.Redis, name: str) -> None:
    assert run("add", "--", name).exit_code != 0
    assert sites.list_all(redis_client) == []


def test_the_log_is_verified_and_exported(
    http: FlaskClient, settings: Settings, north: Caller, submit: Callable[..., str]
) -> None:
    job_id = submit(north)
    http.get(f"/v1/jobs/{job_id}/result")
    log = str(settings.audit_file)
    verified = CliRunner().invoke(main, ["audit", "verify", log])
    assert verified.exit_code == 0
    assert verified.output.startswith("lines=2 ")
    exported = CliRunner().invoke(main, ["audit", "fhir", log]).output.splitlines()
    resources = [AuditEvent.model_validate(json.loads(line)) for line in exported]
    assert [one.action for one in resources] == ["C", "R"]
    assert resources[0].entity[0].what.identifier.value == job_id
    path = Path(log)
    path.write_bytes(path.read_bytes().replace(b"jobs.submit", b"jobs.sabmit"))
    assert CliRunner().invoke(main, ["audit", "verify", log]).exit_code == 1
    assert len(list(read(path))) == 2


def test_what_operators_do_is_in_the_audit_log_too(
    run: Run, redis_client: redis.Redis, settings: Settings, http: FlaskClient
) -> None:
    url = f"redis://127.0.0.1:{redis_client.get_connection_kwargs()['port']}/0"

    def hippocamp(*arguments: str) -> int:
        return CliRunner().invoke(main, [*arguments, "--redis", url]).exit_code

    key = caller(run("add", "north", "--weight", "2"))
    assert run("add", "north").exit_code == 1
    assert run("rotate", key.prefix).exit_code == 0
    assert hippocamp("drain", "infer", "--grace", "0") == 0
    assert hippocamp("drain", "infer", "--undo") == 0
    assert hippocamp("retry", "job_of_nobody") != 0
    log = AuditLog(settings.audit_file)
    assert http.get("/v1/jobs", headers={"Authorization": f"Bearer {key.text}x"}).status_code == 401
    assert (take_over(redis_client, log), take_over(redis_client, log)) == (6, 0)
    told = [(e["what"], e["site"], e["job"], e["about"], e["outcome"]) for e in read(settings.audit_file)]
    assert told[1:] == [
        ("operator.sites.add", "north", "", "weight=2.0", 200),
        ("operator.sites.add", "north", "", "", 409),
        ("operator.sites.rotate", "north", "", key.prefix, 200),
        ("operator.drain", "", "", "stage:infer", 200),
        ("operator.resume", "", "", "stage:infer", 200),
        ("operator.retry", "", "job_of_nobody", "", 409),
    ]
    assert key.text not in settings.audit_file.read_text()
    events = list(read(settings.audit_file))
    assert all(event["who"].startswith("operator:") for event in events[1:])
    assert verify(settings.audit_file).broken == 0
    assert [AuditEvent(**to_fhir(event)).action for event in events[1:]] == list("CCUUUU")


def test_what_cannot_be_written_waits(run: Run, redis_client: redis.Redis, tmp_path: Path) -> None:
    caller(run("add", "north"))
    (tmp_path / "log").mkdir()
    with pytest.raises(StoreUnavailable):
        take_over(redis_client, AuditLog(tmp_path / "log"))
    redis_client.rpush(keys.OPERATOR_EVENTS, "no event")
    assert take_over(redis_client, AuditLog(tmp_path / "other")) == 2
    assert [event["what"] for event in read(tmp_path / "other")] == [
        "operator.sites.add",
        "operator.unreadable",
    ]
