"""`make audit` says so when nobody could be asked, and fails when a package is known to be vulnerable."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from deploy import advisories

FINE, UNKNOWN = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}
BAD = {"name": "c", "version": "2", "vulns": [{"id": "CVE-2026-1"}]}


@pytest.mark.parametrize(
    ("told", "status", "said"),
    [
        ("", 0, "NOT AUDITED: no advisory service answered"),
        (json.dumps({"dependencies": [UNKNOWN]}), 0, "NOT AUDITED: none of 1 packages"),
        (json.dumps({"dependencies": [FINE, UNKNOWN]}), 0, "0 of 1 packages"),
        (json.dumps({"dependencies": [FINE, BAD]}), 1, "c 2: CVE-2026-1"),
    ],
)
def test_what_the_service_told_is_the_status(
    told: str, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered(*command: Any, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, stdout=told)

    monkeypatch.setattr(subprocess, "run", answered)
    assert advisories.main() == status
    assert said in capsys.readouterr().out
