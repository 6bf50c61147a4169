"""One cage for the whole corpus, and the table it fills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.uploads.sanitize.pool import SandboxPool
from gateway.uploads.sanitize.task import Limits
from tests.hostile.cage import Cage, Verdict

MEMORY_BYTES = 4 << 30
"""What a worker may have unless it is told otherwise (preprocessing_service/settings.py)."""

Row = tuple[str, str, Verdict]
_TABLE: list[Row] = []


@pytest.fixture(scope="session")
def cage() -> Iterator[Cage]:
    """The limited worker."""
    with Cage(MEMORY_BYTES) as cage:
        yield cage


@pytest.fixture(scope="session")
def pool() -> Iterator[SandboxPool]:
    """The limited readers of a gateway."""
    pool = SandboxPool(Limits(wall_seconds=900))  # computing and memory are what it bounds
    pool.start()
    yield pool
    pool.stop()


@pytest.fixture(scope="session")
def table() -> list[Row]:
    """Where verdicts are kept for the summary."""
    return _TABLE


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """For one file, which may be large: emptied at once."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Case, codes of the two that read it, seconds of computing and peak memory of the second."""
    if not _TABLE:
        return
    terminalreporter.section("hostile corpus")
    heads = f"{'case':36} {'at the gateway':20} {'by preprocessing':24} {'seconds':>8} {'peak MB':>8}"
    terminalreporter.line(heads)
    for name, gate, verdict in _TABLE:
        figures = f"{verdict.seconds:8.3f} {verdict.peak_mb:8.1f}"
        terminalreporter.line(f"{name:36} {gate:20} {verdict.code:24} {figures}")
    worst = max(verdict.peak_mb for *_, verdict in _TABLE)
    slowest = max(verdict.seconds for *_, verdict in _TABLE)
    terminalreporter.line(f"cases={len(_TABLE)} peak_mb={worst:.0f} slowest_seconds={slowest:.2f}")
