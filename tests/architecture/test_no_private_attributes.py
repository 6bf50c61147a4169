"""No product code reads or assigns what another package keeps private: the next version may move it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.tree import PRODUCT, ROOT

ALLOWED = {"os._exit": "documented: ends a forked child without unwinding what belongs to its parent"}
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make"}
"""Methods of named tuples: their underscore only keeps them apart from the fields."""
SETTINGS = {
    "pydicom.config.settings.reading_validation_mode": "pydicom's guide to its configuration",
    "pydicom.config.settings.writing_validation_mode": "the same",
    "torch.backends.quantized.engine": "torch's guide to quantization",
    "numba.config.CACHE_DIR": "numba's reference of NUMBA_CACHE_DIR; a variable set later would not be read",
}
"""Attribute of a library's module that its documentation has users assign -> where."""


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore, and is not documented all the same."""
    return name.startswith("_") and not name.startswith("__") and name not in {"_", *DOCUMENTED}


def own_names(tree: ast.Module) -> set[str]:
    """Private names that the module itself gives: its methods, fields and attributes of `self`."""
    found = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and of_itself(node):
            found.add(node.attr)
    return found


def of_itself(node: ast.Attribute) -> bool:
    """Whether it is an attribute of `self` or `cls`."""
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def offences(source: str) -> Iterator[str]:
    """Each private name that is imported, read, assigned or patched although it is somebody else's."""
    tree = ast.parse(source)
    own = own_names(tree)
    for node in ast.walk(tree):
        yield from _imported(node)
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            text = ast.unparse(node)
            if not of_itself(node) and node.attr not in own and text not in ALLOWED:
                yield f"line {node.lineno}: {text}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "setattr", "delattr"}:
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        if any(is_private(part) for part in parts):
            yield f"line {node.lineno}: {ast.unparse(node)}"
    if isinstance(node, ast.Import) and any(
        is_private(part) for alias in node.names for part in alias.name.split(".")
    ):
        yield f"line {node.lineno}: {ast.unparse(node)}"


def patches(source: str) -> Iterator[str]:
    """Each attribute of an imported module that is assigned, documented settings apart."""
    tree = ast.parse(source)
    modules = {alias.asname or alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import)
               for alias in n.names}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            text = ast.unparse(node)
            if text.split(".")[0] in modules and text not in SETTINGS:
                yield f"line {node.lineno}: {text} = ..."


@pytest.mark.parametrize("package", PRODUCT)
def test_nothing_private_of_another_package_is_used(package: str) -> None:
    found = [
        f"{file.relative_to(ROOT)} {offence}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for find in (offences, patches)
        for offence in find(file.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import redis\nredis.client._x", "def f(app): app._thing = 1", "from kombu.utils import _private",
        "import celery._state", "getattr(app, '_thing')", "pool().connection._sock",
    ],
)  # fmt: skip
def test_each_way_to_a_private_name_is_seen(source: str) -> None:
    assert list(offences(source))


def test_a_patched_module_is_seen() -> None:
    assert list(patches("import celery.apps.worker as worker\nworker.safe_say = print"))


def test_what_a_module_gives_itself_is_its_own() -> None:
    source = "class A:\n  _x: int = 0\n  def _f(self, other):\n    return other._x + other._f(self) + self._y"
    assert list(offences(source)) == []
