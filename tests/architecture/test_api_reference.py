"""The API reference names every call, the error reference every code, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.app import create_app
from gateway.http.openapi import describe_api
from gateway.http.problems import all_kinds
from gateway.settings import Settings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
GUIDE = (REFERENCE / "api.md").read_text()
ERRORS = (REFERENCE / "errors.md").read_text()
EVENTS = set(re.findall(r"`([a-z]+\.[a-z_]+)`", (REFERENCE / "metrics.md").read_text()))
"""Log events look like codes."""
MEASURES = {"quality.escalated"}
ANNOUNCED = {"job.superseded", "result.superseded"}
"""A webhook event and a notice: neither is an error."""


def test_every_code_is_in_the_table_with_its_status() -> None:
    create_app(Settings(redis_url="redis://127.0.0.1:1/0", blobs="/nonexistent"))  # imports every module
    rows = set(re.findall(r"^\| `([\w.]+)` \| (\d+) \| (yes|no) \|", ERRORS, re.MULTILINE))
    real = {
        (k.code, str(k.status), "yes" if k.retryable else "no")
        for k in all_kinds()
        if "tests" not in k.__module__
    }
    assert rows == real


def test_a_code_that_a_page_names_exists() -> None:
    """Wherever it stands in the documents."""
    create_app(Settings(redis_url="redis://127.0.0.1:1/0", blobs="/nonexistent"))
    codes = {kind.code for kind in all_kinds()}
    families = {code.partition(".")[0] for code in codes if "." in code}
    named = re.compile(rf"`(?:\d{{3}} )?((?:{'|'.join(sorted(families))})\.[a-z_0-9]+)`")
    pages = REFERENCE.parent.rglob("*.md")
    found = {(page.name, code) for page in pages for code in named.findall(page.read_text())}
    assert sorted(one for one in found if one[1] not in codes | EVENTS | MEASURES | ANNOUNCED) == []


def test_every_call_is_told() -> None:
    document = describe_api(create_app(Settings(redis_url="redis://127.0.0.1:1/0", blobs="/nonexistent")))
    told = (
        GUIDE.replace("JOB_ID", "{job_id}").replace("BATCH_ID", "{batch_id}").replace("/16.png", "/{n}.png")
    )
    assert [path for path in document["paths"] if path not in told] == []
