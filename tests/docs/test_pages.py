"""Every command and snippet of the client's and the integration page runs against a real gateway."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest

from client.exit_codes import Exit
from gateway.dicomweb import instances
from tests.docs.pages import DOCS, python_blocks, shell_script

pytestmark = pytest.mark.docs
ROOT = DOCS.parent


def run(command: list[str], folder: Path, reader: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=reader, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", ["client.md", "integration.md"])
def test_the_page_runs(page: str, folder: Path, reader: dict[str, str]) -> None:
    if page == "integration.md":
        assert "jobs:" in run([sys.executable, "-c", python_blocks(page)[0]], folder, reader)
    said = run(["bash", "-c", shell_script(page)], folder, reader)
    assert "succeeded" in said
    for snippet in python_blocks(page)[page == "integration.md" :]:
        run([sys.executable, "-c", snippet], folder, reader | {"PYTHONPATH": str(ROOT)})
    pdf = pypdfium2.PdfDocument(folder / ("report.pdf" if page == "client.md" else "result.pdf"))
    assert len(pdf) == 1
    pdf.close()


def test_the_exit_statuses_are_the_documented_ones() -> None:
    listed = re.findall(r"^\| (\d+) \|", (DOCS / "client.md").read_text(), re.MULTILINE)
    assert sorted(map(int, listed)) == sorted(Exit)


def test_the_failure_reasons_are_the_documented_ones() -> None:
    listed = set(re.findall(r"^\| `0x(\w{4})` \|", (DOCS / "integration.md").read_text(), re.MULTILINE))
    ours = (
        instances.CANNOT_UNDERSTAND,
        instances.NOT_SUPPORTED,
        instances.BAD_SYNTAX,
        instances.MISMATCH,
        instances.RESOURCES,
    )
    assert listed == {f"{reason:04X}" for reason in ours}
