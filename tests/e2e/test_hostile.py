"""A handful of the hostile corpus through the running system, all at once, and then a good job."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.supervisor import LocalSystem
from tests.e2e import volumes
from tests.e2e.service import Service
from tests.hostile import archives, dicom_files, heads, lying_headers
from tests.hostile.case import Case

pytestmark = [pytest.mark.e2e, pytest.mark.hostile]

NAMES = {
    "gzip bomb 10 GiB", "huge dims", "NaN affine", "vox_offset NaN", "cut at 353", "gzip cut at 333011",
    "float64",
    "zip bomb one entry", "zip bomb overlapping", "zip of 2,000,000 entries", "zip symlink", "zip nested",
    "DICOM missing slice", "DICOM bottomless sequences", "DICOM zip slip names", "DICOM CT",
    "head inverted contrast", "head half a head", "head noise 100 %", "MGH frames", "complex",
}  # fmt: skip
SUBSET = [
    one
    for one in (*lying_headers.CASES, *archives.CASES, *dicom_files.CASES, *heads.CASES)
    if one.name in NAMES
]


def code_of(service: Service, one: Case, sent: dict[str, str]) -> str:
    """How the gateway or the job ended."""
    if "id" not in sent:
        return sent["code"]
    job = service.finished(sent["id"])
    return str(job["error"]["code"]) if job["state"] == "failed" else "ok"


def test_each_ends_in_its_code_and_the_next_good_job_succeeds(
    service: Service, stack: LocalSystem, volume: Path, tmp_path: Path
) -> None:
    assert len(SUBSET) == len(NAMES)
    workers = [item.pid for item in stack.remembered()]
    sent = {}
    for one in SUBSET:
        path = one.write(tmp_path)
        sent[one.name] = service.send_raw(path.read_bytes()).json()
        path.unlink()
    good = service.send_raw(volumes.nudged(volume, 61)).json()["id"]
    wrong = {
        one.name: code
        for one in SUBSET
        if (code := code_of(service, one, sent[one.name])) not in one.codes | {"input.bad_geometry"}
    }
    assert wrong == {}
    assert service.finished(good)["state"] == "succeeded"
    assert [item.pid for item in stack.remembered() if item.process()] == workers
    assert service.http.get("/readyz").status_code == 200
