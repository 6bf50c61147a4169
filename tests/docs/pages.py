"""The blocks of a documentation page, as somebody who follows it would run them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every fenced block, in order."""
    return _BLOCK.findall((DOCS / page).read_text())


def shell_script(page: str) -> str:
    """All `sh` blocks of the page as one script that stops at the first failure."""
    return "\n".join(["set -euo pipefail", *(text for language, text in blocks(page) if language == "sh")])


def python_blocks(page: str) -> list[str]:
    """Every `python` block."""
    return [text for language, text in blocks(page) if language == "python"]


def curls(page: str) -> list[str]:
    """Every curl command of the page's unmarked blocks, one a line."""
    lines = [line for language, text in blocks(page) if not language for line in text.splitlines()]
    return [line for line in lines if line.startswith("curl ")]
