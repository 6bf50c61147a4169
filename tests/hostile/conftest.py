"""One cage for the whole corpus, and the table it fills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.cage import Cage, Verdict

MEMORY_BYTES = 4 << 30
"""What a worker may have unless it is told otherwise (preprocessing_service/settings.py)."""

_TABLE: list[tuple[str, Verdict]] = []


@pytest.fixture(scope="session")
def cage() -> Iterator[Cage]:
    """The limited worker."""
    with Cage(MEMORY_BYTES) as cage:
        yield cage


@pytest.fixture(scope="session")
def table() -> list[tuple[str, Verdict]]:
    """Where verdicts are kept for the summary."""
    return _TABLE


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """For one file, which may be large: emptied at once."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Case, code, seconds, peak memory above the idle worker."""
    if not _TABLE:
        return
    terminalreporter.section("hostile corpus")
    terminalreporter.line(f"{'case':36} {'code':24} {'seconds':>8} {'peak MB':>8}")
    for name, verdict in _TABLE:
        terminalreporter.line(f"{name:36} {verdict.code:24} {verdict.seconds:8.3f} {verdict.peak_mb:8.1f}")
    worst = max(verdict.peak_mb for _, verdict in _TABLE)
    slowest = max(verdict.seconds for _, verdict in _TABLE)
    terminalreporter.line(f"cases={len(_TABLE)} peak_mb={worst:.0f} slowest_seconds={slowest:.2f}")
