"""docs/reference/configuration.md lists every environment variable that is read, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.tree import PRODUCT, ROOT

PAGE = ROOT / "docs" / "reference" / "configuration.md"
READERS = {"env_text", "env_number", "env_count", "env_flag", "env_redis", "env_folder"}
OURS = re.compile(r"HIPPOCAMP_[A-Z0-9_]+")
COMPLETION = "HIPPOCAMP_COMPLETE"
"""Set by the shell's completion script, not by a person."""


def sources() -> list[ast.Module]:
    packages = [ROOT / name for name in PRODUCT]
    return [ast.parse(file.read_text()) for package in packages for file in package.rglob("*.py")]


def called(call: ast.Call) -> str:
    return str(getattr(call.func, "id", getattr(call.func, "attr", "")))


def first(call: ast.Call) -> ast.expr | None:
    return call.args[0] if call.args else None


def readers(trees: list[ast.Module]) -> set[str]:
    """The readers of runtime settings, and functions that hand their own parameter on to one."""
    found = set(READERS)
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        parameters = {argument.arg for argument in function.args.args}
        calls = (
            node for node in ast.walk(function) if isinstance(node, ast.Call) and called(node) in READERS
        )
        if any(isinstance(name := first(call), ast.Name) and name.id in parameters for call in calls):
            found.add(function.name)
    return found


def read_by_code() -> Iterator[str]:
    trees = sources()
    known = readers(trees)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
                yield node.value
            if isinstance(node, ast.Call) and called(node) in known:
                name = first(node)
                if isinstance(name, ast.Constant):
                    yield f"HIPPOCAMP_{name.value}"


def read_by_containers() -> Iterator[str]:
    files = [
        ROOT / "docker-compose.yml",
        *ROOT.glob("*/Dockerfile"),
        *(ROOT / "deploy").rglob("*.yml"),
        *(ROOT / "deploy").rglob("*.yaml"),
        *(ROOT / "deploy").rglob("Dockerfile"),
    ]
    for file in files:
        yield from OURS.findall(file.read_text())


def read_from_elsewhere() -> Iterator[str]:
    """Other software's variables that our code looks at by name."""
    for tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"os.environ.get", "os.getenv"}:
                name = first(node)
                if isinstance(name, ast.Constant) and not str(name.value).startswith("HIPPOCAMP_"):
                    yield str(name.value)


def listed() -> set[str]:
    return set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", PAGE.read_text(), re.MULTILINE))


def test_every_variable_that_is_read_is_listed_and_the_other_way_round() -> None:
    read = {*read_by_code(), *read_by_containers()} - {COMPLETION}
    ours = {name for name in listed() if name.startswith("HIPPOCAMP_")}
    assert sorted(read - ours) == [], "read, but not listed"
    assert sorted(ours - read) == [], "listed, but nothing reads it"


def test_other_softwares_variables_are_listed() -> None:
    assert sorted(set(read_from_elsewhere()) - listed()) == []


DEFAULT = re.compile(r"^\| `HIPPOCAMP_([A-Z0-9_]+)` \| `?(\d+(?:\.\d+)?)`? \|", re.MULTILINE)
OF_SEVERAL = {"LINE_SECONDS", "STOP_SECONDS"}
"""Read by several services with defaults of their own."""


def number(expression: ast.expr) -> float | None:
    """The value of a product or shift of numbers; None for anything else."""
    text = ast.unparse(expression)
    return float(eval(text)) if re.fullmatch(r"[\d.*_<\s]+", text) else None


def defaults() -> Iterator[tuple[str, float]]:
    trees = sources()
    known = readers(trees)
    for call in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if called(call) in known and len(call.args) > 1:
            name, value = first(call), number(call.args[1])
            if isinstance(name, ast.Constant) and value is not None:
                yield str(name.value), value


def test_a_listed_default_is_that_of_the_code() -> None:
    """Where the default is a number."""
    told = {name: float(value) for name, value in DEFAULT.findall(PAGE.read_text())}
    wrong = [(name, told[name], value) for name, value in defaults() if told.get(name, value) != value]
    assert [one for one in wrong if one[0] not in OF_SEVERAL] == []
