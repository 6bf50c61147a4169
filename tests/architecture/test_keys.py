"""Redis keys are built in one place, and the Lua scripts write the same names."""

from __future__ import annotations

import re

from jobstore import keys
from tests.architecture.tree import EVERYWHERE, ROOT

KEYS = ROOT / "jobstore" / "keys.py"
LITERAL = re.compile(rf"\b{keys.PREFIX}:[a-z*{{<]")
HEAD = re.compile(r"""_key\("([a-z_]+)""")
LUA_HEAD = re.compile(rf"'{keys.PREFIX}:([a-z_]+)")


def test_no_other_file_writes_a_key() -> None:
    files = [file for place in EVERYWHERE for file in (ROOT / place).rglob("*.py") if file != KEYS]
    writing = [file.relative_to(ROOT).as_posix() for file in files if LITERAL.search(file.read_text())]
    assert writing == [], "build the key in jobstore/keys.py"


def test_the_scripts_write_the_names_that_stand_there() -> None:
    known = set(HEAD.findall(KEYS.read_text()))
    for script in ROOT.rglob("*.lua"):
        if ".venv" not in script.parts:
            used = set(LUA_HEAD.findall(script.read_text()))
            assert used <= known, f"{script.name} writes {used - known}: name it in jobstore/keys.py"
