"""The table of cases: what each input was, and what became of it."""

from __future__ import annotations

import pytest

Row = tuple[str, str, str]
_TABLE: list[Row] = []


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """Where outcomes are kept for the summary: case, expected, found."""
    return _TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a case."""
    if not _TABLE:
        return
    terminalreporter.section("inputs")
    terminalreporter.line(f"{'case':44} {'wanted':34} found")
    for name, wanted, found in _TABLE:
        terminalreporter.line(f"{name:44} {wanted:34} {found}")
