"""What a killed preprocessing worker leaves of a patient's scan on its machine: nothing, within seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from preprocessing_service.scratch import folder, sweep
from tests.integration.workers.scene import eventually

pytestmark = [pytest.mark.integration, pytest.mark.privacy]

HOLD = """
import sys
from pathlib import Path
from runtime.blobs import BlobStore
from preprocessing_service.scratch import folder
bucket = BlobStore("memory://bucket")
bucket.put("inputs/north/job_1", b"FACE" * 1_000_000)
with folder(Path(sys.argv[1])) as scratch:
    print(bucket.local_copy("inputs/north/job_1", scratch), flush=True)
    sys.stdin.read()
"""


def holder(within: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds the copy of an upload, and where that lies."""
    command = [sys.executable, "-c", HOLD, str(within)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def files(within: Path) -> list[Path]:
    return [path for path in within.rglob("*") if path.is_file()]


def test_the_copy_of_an_upload_goes_with_the_process_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "hippocamp-of-somebody-else").mkdir()
    process, copy = holder(tmp_path)
    assert copy.stat().st_size == 4_000_000
    assert sweep(tmp_path) == 0, "its process lives"
    process.send_signal(signal.SIGSTOP)
    assert sweep(tmp_path) == 0, "a process that hangs lives"
    process.kill()
    process.communicate(timeout=120)
    assert files(tmp_path) == [copy], "killed: nobody could clean up"
    assert sweep(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["hippocamp-of-somebody-else"]


def test_a_folder_is_gone_when_its_job_is_through(tmp_path: Path) -> None:
    with folder(tmp_path) as one, folder(tmp_path) as other:
        (one / "scan").write_bytes(b"FACE")
        assert one != other
        assert sweep(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_parent_of_the_pool_sweeps_at_its_start_and_all_the_time(tmp_path: Path, redis_url: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process, early = holder(scratch)
    process.kill()
    process.communicate(timeout=120)
    environment = {
        **os.environ, "HIPPOCAMP_REDIS_URL": redis_url, "HIPPOCAMP_SCRATCH": str(scratch),
        "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
    }  # fmt: skip
    command = [
        sys.executable, "-m", "celery", "-q", "-A", "bench.chaos.scaled", "worker", "-Q", "preprocess",
        "--concurrency=1", "--without-gossip", "--without-mingle", "-n", "sweeping@here",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: not early.exists(), within=60)
        process, late = holder(scratch)
        process.kill()
        process.communicate(timeout=120)
        eventually(lambda: not late.exists(), within=10)
        assert files(scratch) == []
    finally:
        worker.terminate()
        worker.wait(60)
