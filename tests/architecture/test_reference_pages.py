"""Errors, metrics and commands stand in the reference as the code has them, in both directions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from imaging.series import Why
from tests.architecture.tree import PRODUCT, ROOT
from tests.docs.command_reference import generated, programs, walk, written

METRICS = ROOT / "docs" / "reference" / "metrics.md"
NAME = re.compile(r"hippocamp_[a-z0-9_]+")
NO_METRIC = {"hippocamp_site", "hippocamp_session", "hippocamp_login"}
"""A claim of a token, and cookies."""


def constants() -> set[str]:
    """Every string in product code that is the name of a metric."""
    found = set()
    packages = [ROOT / name for name in PRODUCT]
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


def codes(heading: str) -> set[str]:
    """In the first column of the table below a heading of the page about series."""
    page = (ROOT / "docs" / "reference" / "series.md").read_text()
    table = page.partition(f"## {heading}")[2].partition("\n## ")[0]
    first = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", table, re.MULTILINE)
    return {code for cell in first for code in re.findall(r"`([^`]+)`", cell)}


def test_every_reason_to_pass_over_a_series_is_listed() -> None:
    assert codes("What is passed over") == set(map(str, Why))


def test_every_notice_is_listed() -> None:
    source = ast.parse((ROOT / "gateway" / "reports" / "notices.py").read_text())
    texts = {
        node.value
        for node in ast.walk(source)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert codes("Notices") == {text for text in texts if re.fullmatch(r"[a-z]+\.[a-z_]+", text)}


def test_the_command_line_is_listed_as_the_commands_have_it() -> None:
    assert written() == generated(), "run python -m tests.docs.command_reference"


PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "REPORT.md")
    if page.name != "CHANGELOG.md"
]
CALL = re.compile(r"(?:^|[`/ (])(hippocamp(?:-admin|-pacs)?) ([a-z]+)((?: [^`#\n|]*)?)", re.MULTILINE)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def options_of(command: click.Command) -> set[str]:
    return {"--help", *(name for one in command.params if isinstance(one, click.Option) for name in one.opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_that_a_page_shows_exists_with_its_options(page: Path) -> None:
    known = {path: command for name, program in programs() for path, command in walk(name, program)}
    wrong = []
    for code in CODE.findall(page.read_text()):
        for program, first, rest in CALL.findall(code):
            path = f"{program} {first}"
            command = known.get(f"{path} {(rest.split() or [''])[0]}") or known.get(path)
            given = re.findall(r" (--[a-z-]+)", rest)
            taken = options_of(command) if command else set()
            wrong += [path] if command is None else [f"{path} {one}" for one in given if one not in taken]
    assert wrong == []
