"""Every command and snippet that a page marks as such runs against a real gateway."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest

from client.exit_codes import Exit
from gateway.dicomweb import instances
from tests.docs.pages import DOCS, curls, python_blocks, shell_script

pytestmark = pytest.mark.docs
ROOT = DOCS.parent


def run(command: list[str], folder: Path, reader: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=reader, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def pages_in(document: Path) -> int:
    """Of a PDF; it must open."""
    pdf = pypdfium2.PdfDocument(document)
    count = len(pdf)
    pdf.close()
    return count


def test_the_guide_to_the_client_runs(folder: Path, reader: dict[str, str]) -> None:
    page = "how-to/script-with-the-client.md"
    assert "succeeded" in run(["bash", "-c", shell_script(page)], folder, reader)
    for snippet in python_blocks(page):
        run([sys.executable, "-c", snippet], folder, reader | {"PYTHONPATH": str(ROOT)})
    assert pages_in(folder / "report.pdf") == 1


def test_the_guide_to_the_pacs_runs(folder: Path, reader: dict[str, str]) -> None:
    (snippet,) = python_blocks("how-to/connect-a-pacs.md")
    assert "jobs:" in run([sys.executable, "-c", snippet], folder, reader)


def test_every_format_of_a_result_comes(folder: Path, reader: dict[str, str]) -> None:
    said = run(["bash", "-c", shell_script("reference/result-formats.md")], folder, reader)
    assert "succeeded" in said
    assert pages_in(folder / "result.pdf") == 1


def test_the_guide_to_webhooks_runs(folder: Path, reader: dict[str, str]) -> None:
    page = "how-to/receive-webhooks.md"
    run(["bash", "-c", shell_script(page)], folder, reader)
    for snippet in python_blocks(page):
        run([sys.executable, "-c", snippet], folder, reader | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("page", ["reference/api.md", "../README.md"])
def test_every_curl_of_the_page_is_answered(
    page: str, url: str, folder: Path, reader: dict[str, str]
) -> None:
    """In the page's order; JOB_ID is the first job once it has its result, BATCH_ID the batch just opened."""
    (folder / ".run" / "samples").mkdir(parents=True)
    for name in ("head.nii.gz", ".run/samples/ds000031_T1w.nii.gz"):
        (folder / name).write_bytes(gzip.compress((folder / "head.nii").read_bytes()))
    shutil.make_archive(str(folder / "series"), "zip", folder / "dicom-folder")
    known: dict[str, str] = {}
    for line in curls(page):
        command = line.replace("http://127.0.0.1:8000", url)
        for name, value in known.items():
            command = command.replace(name, value)
        shown = command.replace("curl ", "curl -sS --max-time 30 -w '\\n%{http_code}' ", 1)
        body, _, status = run(["bash", "-c", shown], folder, reader).rpartition("\n")
        assert int(status) == 409 if "/cancel" in line else int(status) < 300, f"{line}: {status} {body}"
        if line.endswith("/v1/jobs") and "JOB_ID" not in known:
            known["JOB_ID"] = json.loads(body)["id"]
            run(["hippocamp", "result", known["JOB_ID"]], folder, reader)
        if line.endswith("/v1/batches"):
            known["BATCH_ID"] = json.loads(body)["id"]
    assert "JOB_ID" in known


def test_the_exit_statuses_are_the_documented_ones() -> None:
    listed = re.findall(r"^\| (\d+) \|", (DOCS / "reference" / "command-line.md").read_text(), re.MULTILINE)
    assert sorted(map(int, listed)) == sorted(Exit)


def test_the_failure_reasons_are_the_documented_ones() -> None:
    listed = set(
        re.findall(
            r"^\| `0x(\w{4})` \|", (DOCS / "reference" / "dicom-conformance.md").read_text(), re.MULTILINE
        )
    )
    ours = (
        instances.CANNOT_UNDERSTAND,
        instances.NOT_SUPPORTED,
        instances.BAD_SYNTAX,
        instances.MISMATCH,
        instances.RESOURCES,
    )
    assert listed == {f"{reason:04X}" for reason in ours}
