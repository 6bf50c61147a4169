"""The audit log: who did what, chained, complete, and without health data."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient

from contracts.errors import StoreUnavailable
from gateway.app import create_app
from gateway.settings import Settings
from runtime.audit import AuditLog, Event, main, parts_of, read, verify
from tests.integration.gateway.conftest import nifti
from tests.integration.sites.conftest import RAW, Caller

pytestmark = [pytest.mark.integration, pytest.mark.privacy]


def event(n: int) -> Event:
    return Event(
        who="hk_north_00000000", what="jobs.submit", site="north", job=f"job_{n}", where="", outcome=202
    )


def fill(path: Path, count: int) -> None:
    log = AuditLog(path)
    for n in range(count):
        log.append(event(n))


def test_what_was_done_by_whom_to_what(
    http: FlaskClient, settings: Settings, north: Caller, south: Caller, submit: Callable[..., str]
) -> None:
    job_id = submit(north)
    http.get(f"/v1/jobs/{job_id}", headers=north.headers)
    http.get(f"/v1/jobs/{job_id}/result", headers=north.headers)
    http.get(f"/v1/jobs/{job_id}/result", headers=south.headers)
    http.get(f"/v1/jobs/{job_id}/result")
    http.delete(f"/v1/jobs/{job_id}", headers=north.headers)
    noted = [(e["who"], e["what"], e["job"], e["outcome"]) for e in read(settings.audit_file)]
    assert noted == [
        (north.prefix, "jobs.submit", job_id, 202),
        (north.prefix, "results.read", job_id, 409),
        (south.prefix, "results.read", job_id, 404),
        ("", "results.read", job_id, 401),
        (north.prefix, "erase.erase", job_id, 204),
    ]
    assert verify(settings.audit_file).broken == 0


def test_an_answer_that_cannot_be_noted_is_not_given(
    http: FlaskClient, settings: Settings, north: Caller, submit: Callable[..., str]
) -> None:
    job_id = submit(north)
    settings.audit_file.unlink()
    settings.audit_file.mkdir()
    answer = http.get(f"/v1/jobs/{job_id}/result", headers=north.headers)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable.blobs")


def test_nothing_is_accepted_or_changed_while_it_could_not_be_noted(
    http: FlaskClient, settings: Settings, north: Caller, submit: Callable[..., str]
) -> None:
    job_id = submit(north)
    settings.audit_file.unlink()
    settings.audit_file.mkdir()
    for method, address in (("POST", "/v1/jobs"), ("DELETE", f"/v1/jobs/{job_id}")):
        answer = http.open(
            address, method=method, data=nifti(seed=2), headers=north.headers, content_type=RAW
        )
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable.blobs")
    assert [job["id"] for job in http.get("/v1/jobs", headers=north.headers).json["jobs"]] == [job_id]


def test_a_log_that_fails_after_the_deed_does_not_deny_it(
    http: FlaskClient, north: Caller, submit: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def broken(*_: object) -> None:
        raise StoreUnavailable("The audit log cannot be written (Input/output error)")

    monkeypatch.setattr(AuditLog, "append", broken)
    job_id = submit(north)
    assert [job["id"] for job in http.get("/v1/jobs", headers=north.headers).json["jobs"]] == [job_id]
    (told,) = [vars(record) for record in caplog.records if record.getMessage() == "audit.not_written"]
    assert (told["who"], told["what"], told["job"]) == (north.prefix, "jobs.submit", job_id)


def test_every_change_of_a_line_is_found(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    fill(path, 5)
    good = path.read_bytes().splitlines(keepends=True)
    assert verify(path).lines == 5
    forged = json.loads(good[2]) | {"who": "hk_south_00000000"}
    for broken in (
        [*good[:2], json.dumps(forged).encode() + b"\n", *good[3:]],
        [*good[:2], *good[3:]],
        [good[1], good[0], *good[2:]],
        [*good[:3], good[2], *good[3:]],
        [*good[:4], good[4][:-9]],
    ):
        path.write_bytes(b"".join(broken))
        assert verify(path).broken > 0
        assert main(["verify", str(path)]) == 1


def test_a_log_cut_at_its_end_misses_a_head_that_was_noted(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    fill(path, 3)
    head = verify(path).head
    fill(path, 2)
    assert main(["verify", str(path), "--head", head]) == 0
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    assert verify(path).broken == 0
    assert main(["verify", str(path), "--head", head]) == 1


def test_a_line_that_a_crash_cut_short_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    fill(path, 3)
    path.write_bytes(path.read_bytes()[:-20])
    fill(path, 1)
    assert verify(path).broken == 0
    assert verify(path).lines == 3


def grown(path: Path, count: int, *, most_bytes: int = 1000) -> None:
    log = AuditLog(path, most_bytes=most_bytes)
    for n in range(count):
        log.append(event(n))


def test_a_log_at_its_limit_becomes_a_part_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    grown(path, 30)
    parts = parts_of(path)
    assert len(parts) >= 5
    assert [part.name for part in parts[:2]] == ["audit.jsonl.000001", "audit.jsonl.000002"]
    assert all(part.stat().st_size < 1500 for part in (*parts, path))
    assert (verify(path).lines, verify(path).broken) == (30, 0)
    assert [one["job"] for one in read(path)] == [f"job_{n}" for n in range(30)]
    assert main(["verify", str(path), "--head", next(read(path))["hash"]]) == 0


def test_every_change_of_a_part_is_found(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    grown(path, 30)
    first, second, *_ = parts_of(path)
    good = second.read_bytes()
    second.write_bytes(good.replace(b'"outcome": 202', b'"outcome": 200', 1))
    assert verify(path).broken > 0
    second.write_bytes(b"".join(good.splitlines(keepends=True)[:-1]))
    assert verify(path).broken > 0
    second.unlink()
    assert verify(path).broken > 0
    second.write_bytes(good)
    assert verify(path).broken == 0
    head = json.loads(first.read_bytes().splitlines()[-1])["hash"]
    first.unlink()
    assert main(["verify", str(path)]) == 1
    assert main(["verify", str(path), "--after", head]) == 0


def test_a_crash_between_two_files_breaks_no_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    fill(path, 3)
    path.rename(tmp_path / "audit.jsonl.000001")
    fill(path, 2)
    assert (verify(path).lines, verify(path).broken) == (5, 0)


def test_processes_share_one_chain_while_files_change(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=grown, args=(path, 40)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert (verify(path).lines, verify(path).broken) == (160, 0)
    assert len(parts_of(path)) > 20


def test_the_gateway_puts_its_log_aside(
    settings: Settings, redis_client: redis.Redis, key: Callable[..., Caller]
) -> None:
    small = replace(settings, audit_bytes=2000)
    caller = key("north")
    with create_app(small).test_client() as http:
        for _ in range(20):
            http.get("/v1/webhook-endpoints", headers=caller.headers)
    assert len(parts_of(small.audit_file)) >= 2
    assert (verify(small.audit_file).lines, verify(small.audit_file).broken) == (20, 0)


def test_processes_share_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=fill, args=(path, 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert verify(path).lines == 200
    assert verify(path).broken == 0
