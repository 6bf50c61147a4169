"""Errors, metrics and commands stand in the reference as the code has them, in both directions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.docs.command_reference import generated, written

ROOT = Path(__file__).resolve().parents[2]
METRICS = ROOT / "docs" / "reference" / "metrics.md"
NOT_PRODUCT = {"tests", "bench"}
NAME = re.compile(r"hippocamp_[a-z0-9_]+")
NO_METRIC = {"hippocamp_site", "hippocamp_session", "hippocamp_login"}
"""A claim of a token, and cookies."""


def constants() -> set[str]:
    """Every string in product code that is the name of a metric."""
    found = set()
    packages = [file.parent for file in ROOT.glob("*/__init__.py") if file.parent.name not in NOT_PRODUCT]
    for file in (file for package in packages for file in package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                found.add(node.value.removesuffix("_total"))
    return found - NO_METRIC


def listed() -> set[str]:
    rows = re.findall(r"^\| `(hippocamp_\w+)` \|", METRICS.read_text(), re.MULTILINE)
    return {row.removesuffix("_total") for row in rows}


def test_every_metric_is_listed_and_the_other_way_round() -> None:
    code, page = constants(), listed()
    parts = {name for name in code if name.endswith("_")}
    assert sorted(code - parts - page) == [], "counted, but not listed"
    left = {name for name in page - code if not name.startswith(tuple(parts))}
    assert sorted(left) == [], "listed, but nothing counts it"


def test_the_command_line_is_listed_as_the_commands_have_it() -> None:
    assert written() == generated(), "run python -m tests.docs.command_reference"
