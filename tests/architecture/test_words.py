"""Identifiers, error codes and metrics use the words of the field's manuals, and no private ones."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.tree import EVERYWHERE, ROOT

MEANT = {("model_store", "patience")}
"""Early stopping has a patience, in every manual of machine learning."""

INSTEAD = {
    "hint": "wake-up", "poison": "dead-lettered", "workplace": "worker context", "equip": "configure_worker",
    "bury": "reap", "shelf": "artifact prefix", "shelves": "artifact prefixes", "stray": "orphaned upload",
    "garbage": "pending deletions", "crew": "workers", "outlook": "queue estimate",
    "patience": "retry policy", "persistently": "retry policy", "wishes": "submit options",
    "openness": "open mode", "keeper": "reconciler",
}  # fmt: skip
"""Old word -> what it is called now; part of an identifier, an error code, a metric or a file name."""

WORD = re.compile(r"[A-Z]?[a-z]+")


def words(name: str) -> set[str]:
    return {part.lower() for part in WORD.findall(name)}


def identifiers(source: Path) -> set[str]:
    found: set[str] = {source.stem}
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.keyword(arg=str(name)) | ast.alias(name=name):
                found.add(name)
            case ast.Constant(value=str(text)) if re.fullmatch(
                r"[a-z_]+(\.[a-z_]+)+|hippocamp_[a-z_]+", text
            ):
                found.add(text)
    return found


@pytest.mark.parametrize("place", EVERYWHERE)
def test_no_identifier_says_an_old_word(place: str) -> None:
    said = [
        f"{source.relative_to(ROOT)}: {name} (say {INSTEAD[word]})"
        for source in sorted((ROOT / place).rglob("*.py"))
        for name in identifiers(source)
        for word in words(name) & set(INSTEAD)
        if (place, word) not in MEANT
    ]
    assert said == []
