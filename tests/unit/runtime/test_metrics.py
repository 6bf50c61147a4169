"""Folding the counts of ended processes: nothing is lost or doubled, at whichever step it is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from runtime.metrics import fold

KEY = json.dumps(["hippocamp_x", "hippocamp_x_total", {}, "about"])


@pytest.fixture(scope="module")
def ended() -> list[int]:
    """Ids of processes that are no more."""
    done = [subprocess.Popen([sys.executable, "-c", ""]) for _ in range(3)]
    return [process.wait() or process.pid for process in done]


def count(folder: Path, pid: int, value: float) -> None:
    file = MmapedDict(str(folder / f"counter_{pid}.db"))
    file.write_value(KEY, value, 0.0)
    file.close()


def total(folder: Path) -> float:
    return sum(
        value
        for file in folder.glob("counter_*.db")
        for _, value, _, _ in MmapedDict.read_all_values_from_file(str(file))
    )


def test_ended_processes_share_one_file_and_living_ones_keep_theirs(tmp_path: Path, ended: list[int]) -> None:
    count(tmp_path, os.getpid(), 1)
    for pid in ended[:2]:
        count(tmp_path, pid, 10)
    fold(tmp_path)
    count(tmp_path, ended[2], 100)
    fold(tmp_path)
    assert {file.name for file in tmp_path.glob("*.db")} == {f"counter_{os.getpid()}.db", "counter_ended.db"}
    assert total(tmp_path) == 121


@pytest.mark.parametrize("step", range(8))
def test_a_kill_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, ended: list[int], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    count(tmp_path, ended[0], 5)
    fold(tmp_path)
    for pid in ended[1:]:
        count(tmp_path, pid, 10)
    steps = iter(range(100))
    with monkeypatch.context() as dying:
        for name in ("replace", "unlink", "write_text"):
            dying.setattr(Path, name, _dies_at(step, steps, getattr(Path, name)))
        try:
            fold(tmp_path)
        except KeyboardInterrupt:
            killed = True
        else:
            killed = False
    assert killed == (step < 7), "the test must die at every step there is"
    fold(tmp_path)
    assert total(tmp_path) == 25
    assert not list(tmp_path.glob("*.journal"))


def _dies_at(step: int, steps, real):  # type: ignore[no-untyped-def]
    def call(self, *arguments, **options):  # type: ignore[no-untyped-def]
        if next(steps) == step:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    return call


def test_live_gauges_of_ended_processes_go(tmp_path: Path, ended: list[int]) -> None:
    gauge = MmapedDict(str(tmp_path / f"gauge_livesum_{ended[0]}.db"))
    gauge.close()
    fold(tmp_path)
    assert list(tmp_path.glob("gauge*")) == []
