"""A batch that is killed half-way and run again: none missing, none twice."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from pathlib import Path

import pytest
import redis

from jobstore import keys
from tests.integration.client.conftest import HIPPOCAMP, REFUSED_SEED, Carrier, Run, nifti

VOLUMES = 200


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """200 volumes; one of them stands in the table twice, one will be refused."""
    folder = tmp_path / "volumes"
    folder.mkdir()
    for seed in range(VOLUMES):
        (folder / f"{seed}.nii").write_bytes(nifti(seed))
    table = tmp_path / "study.csv"
    lines = [f"s{seed},volumes/{seed}.nii" for seed in range(VOLUMES)]
    table.write_text("\n".join(["subject,path", *lines, "s0 again,volumes/0.nii"]) + "\n")
    return table


def entries(journal: Path, what: str) -> list[str]:
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [line for line in lines if f'"{what}"' in line]


def answers(table: Path) -> list[dict[str, str]]:
    with table.with_name("study.csv.results.csv").open() as file:
        return list(csv.DictReader(file))


def test_killed_half_way_and_run_again(
    table: Path, hippocamp: Run, environment: dict[str, str], redis_client: redis.Redis
) -> None:
    journal = table.with_name("study.csv.journal")
    with subprocess.Popen([HIPPOCAMP, "batch", table], env=environment, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 180
        while len(entries(journal, "job_id")) < VOLUMES // 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        first.kill()
    assert VOLUMES // 2 <= len(entries(journal, "job_id")) < VOLUMES
    assert not table.with_name("study.csv.results.csv").exists()

    second = hippocamp("batch", table)
    assert second.returncode == 9, second.stderr
    assert "200 succeeded, 1 failed" in second.stdout
    found = answers(table)
    assert [row["subject"] for row in found] == [f"s{n}" for n in range(VOLUMES)] + ["s0 again"]
    assert found[0]["job_id"] == found[-1]["job_id"]
    assert found[REFUSED_SEED]["error_code"] == "quality.not_t1w"
    assert redis_client.zcard(keys.jobs_of_site("here")) == VOLUMES

    third = hippocamp("batch", table)
    assert third.returncode == 9
    assert redis_client.zcard(keys.jobs_of_site("here")) == VOLUMES


def test_a_lost_journal_sends_nothing_twice(table: Path, hippocamp: Run, redis_client: redis.Redis) -> None:
    table.write_text("path\n" + "".join(f"volumes/{n}.nii\n" for n in range(5)))
    assert hippocamp("batch", table).returncode == 0
    before = {row["job_id"] for row in answers(table)}
    table.with_name("study.csv.journal").unlink()
    assert hippocamp("batch", table).returncode == 0
    assert {row["job_id"] for row in answers(table)} == before
    assert redis_client.zcard(keys.jobs_of_site("here")) == 5
    assert hippocamp("batch", table, "--again", "model-2").returncode == 0
    assert redis_client.zcard(keys.jobs_of_site("here")) == 10


def test_covariates_of_the_table_are_sent_when_asked_for(
    table: Path, hippocamp: Run, redis_client: redis.Redis
) -> None:
    """The same head with another MMSE is another job."""
    table.write_text("path,age,mmse\nvolumes/1.nii,71,27\nvolumes/1.nii,71,15\nvolumes/2.nii,,\n")
    assert hippocamp("batch", table).returncode == 0
    assert redis_client.zcard(keys.jobs_of_site("here")) == 2
    assert hippocamp("batch", table, "--covariates", "--again", "told").returncode == 0
    with table.with_name("study.csv.told.results.csv").open() as file:
        jobs = [row["job_id"] for row in csv.DictReader(file)]
    told = [redis_client.hget(keys.record(job_id), "covariates") for job_id in jobs]
    assert told == ['{"age":71.0,"mmse":27}', '{"age":71.0,"mmse":15}', None]
    table.write_text("path,age\nvolumes/3.nii,71\nvolumes/4.nii,old\n")
    assert hippocamp("batch", table, "--covariates", "--again", "wrong").returncode == 2
    assert redis_client.zcard(keys.jobs_of_site("here")) == 5


def test_what_is_no_volume_is_an_answer_too(table: Path, hippocamp: Run, carrier: Carrier) -> None:
    (table.parent / "note.txt").write_text("hello " * 100)
    table.write_text("path\nvolumes/1.nii\nnote.txt\nnone.nii\n")
    done = hippocamp("batch", table)
    assert done.returncode == 9
    assert [row["state"] for row in answers(table)] == ["succeeded", "refused", "not_sent"]
    kept = [json.loads(line) for line in entries(table.with_name("study.csv.journal"), "answer")]
    assert len(kept) == 2
    (table.parent / "none.nii").write_bytes(nifti(2))
    hippocamp("batch", table)
    assert [row["state"] for row in answers(table)] == ["succeeded", "refused", "succeeded"]
