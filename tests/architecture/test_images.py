"""Every image is made of what its Dockerfile copies: it is there, let in, and enough to be imported."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGES, ROOT

FILES = sorted([*ROOT.glob("*/Dockerfile"), *(ROOT / "deploy").glob("*/Dockerfile")])
COPY = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)
LET_IN = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def copied(file: Path) -> list[str]:
    return [source for sources in COPY.findall(file.read_text()) for source in sources.split()]


def imported(source: Path) -> set[str]:
    """Packages of ours that the file imports, also inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found & PACKAGES


@pytest.mark.parametrize("file", FILES, ids=name)
def test_what_is_copied_is_there_and_let_in(file: Path) -> None:
    sources = copied(file)
    assert [one for one in sources if not (ROOT / one).exists()] == []
    assert [one for one in sources if one.partition("/")[0] not in LET_IN] == []


@pytest.mark.parametrize("file", FILES, ids=name)
def test_the_licence_goes_along(file: Path) -> None:
    assert {"LICENSE", "NOTICE"} <= set(copied(file))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_package_that_is_imported_is_copied(file: Path) -> None:
    sources = [ROOT / one for one in copied(file)]
    modules = [module for one in sources for module in (one.rglob("*.py") if one.is_dir() else [one])]
    wanted = {package for module in modules if module.suffix == ".py" for package in imported(module)}
    assert sorted(wanted - {one.partition("/")[0] for one in copied(file)}) == []
