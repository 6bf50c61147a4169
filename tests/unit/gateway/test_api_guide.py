"""docs/api.md names every call and every error code, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.app import create_app
from gateway.http.openapi import describe_api
from gateway.http.problems import all_kinds
from gateway.settings import Settings

OURS = ("contracts.", "gateway.")
GUIDE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def test_every_code_is_in_the_table_with_its_status() -> None:
    create_app(Settings(redis_url="redis://127.0.0.1:1/0", blobs="/nonexistent"))  # imports every module
    rows = set(re.findall(r"^\| `([\w.]+)` \| (\d+) \| (yes|no) \|", GUIDE, re.MULTILINE))
    real = {
        (k.code, str(k.status), "yes" if k.retryable else "no")
        for k in all_kinds()
        if "tests" not in k.__module__
    }
    assert rows == real


def test_every_call_is_told() -> None:
    document = describe_api(create_app(Settings(redis_url="redis://127.0.0.1:1/0", blobs="/nonexistent")))
    told = (
        GUIDE.replace("JOB_ID", "{job_id}").replace("BATCH_ID", "{batch_id}").replace("/16.png", "/{n}.png")
    )
    assert [path for path in document["paths"] if path not in told] == []
