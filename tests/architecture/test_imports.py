"""Modules form a graph without cycles, and contracts stays small."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.tree import PRODUCT, ROOT

MOST_LINES_OF_CONTRACTS = 1_200


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path, known: set[str]) -> set[str]:
    """Modules of ours that a file imports, at its top or inside of a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & known or {node.module}
    return (found & known) - {module_of(file)}


def test_no_module_imports_itself_by_way_of_others() -> None:
    files = {module_of(file): file for name in PRODUCT for file in (ROOT / name).rglob("*.py")}
    graph = {module: imported(file, set(files)) for module, file in files.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' -> '.join(error.args[1])}")


def test_contracts_is_small() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in (ROOT / "contracts").rglob("*.py"))
    assert lines <= MOST_LINES_OF_CONTRACTS
