"""The documentation points at files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "model_store").rglob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []


def test_architecture_walks_every_service() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for service in (
        "gateway/",
        "preprocessing_service/",
        "workers/",
        "model_store/",
        "contracts/",
        "deploy/local",
    ):
        assert f"../{service}" in text
