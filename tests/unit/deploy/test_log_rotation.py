"""Logs under `make up` are put aside at their limit, while their writers go on."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.log_rotation import KEPT, rotate

WRITER = """
import sys, time
for n in range(3000):
    print(n, "x" * 90, flush=True)
    time.sleep(0.0005)
"""


def test_a_writer_that_never_opens_its_file_again_goes_on_at_the_beginning(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    with log.open("ab") as out:
        writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=out)
    turned = 0
    while writer.poll() is None:
        turned += bool(rotate(tmp_path, most_bytes=60_000))
        time.sleep(0.01)
    assert writer.returncode == 0
    assert turned >= 3
    assert log.stat().st_size < 120_000
    text = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"\0" not in text, "no hole where the file was emptied"
    assert b"\n2999 x" in b"\n" + log.read_bytes()


def test_so_many_copies_are_kept_and_the_newest_is_the_first(tmp_path: Path) -> None:
    log = tmp_path / "infer.log"
    for number in range(KEPT + 3):
        log.write_text(f"{number}" * 100)
        assert rotate(tmp_path, most_bytes=100) == ["infer.log"]
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["infer.log", *(f"infer.log.{n}" for n in range(1, KEPT + 1))]
    assert (tmp_path / "infer.log.1").read_text() == f"{KEPT + 2}" * 100
    assert log.read_text() == ""


def test_a_log_below_its_limit_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "redis.log").write_text("short")
    assert rotate(tmp_path, most_bytes=100) == []
    assert (tmp_path / "redis.log").read_text() == "short"


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Writing more fails as it does on a full disk: in the midst of the copy."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_what_is_in_the_log_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "gateway.log").write_bytes(b"x" * 200_000)
    (tmp_path / "gateway.log.1").write_text("older")
    (tmp_path / "infer.log").write_bytes(b"y" * 70_000)
    with no_file_beyond(100_000):
        for _ in range(KEPT + 1):
            rotate(tmp_path, most_bytes=65_536)
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes == {"gateway.log": 0, "gateway.log.1": 5, "infer.log": 0, "infer.log.1": 70_000}


def test_a_log_that_has_gone_keeps_no_other_from_its_turn(tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to(tmp_path / "gone")
    (tmp_path / "b.log").write_bytes(b"x" * 100)
    assert rotate(tmp_path, most_bytes=100) == ["b.log"]
