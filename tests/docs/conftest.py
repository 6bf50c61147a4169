"""A folder like the reader's, and the gateway of the client tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.client.conftest import HIPPOCAMP, carrier, environment, hospital, nifti, settings, url
from tests.integration.dicomweb.series import encoded, slices
from tests.support.hospital import Hospital

__all__ = ["carrier", "environment", "hospital", "settings", "url"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the pages take for granted: three volumes and a DICOM series."""
    folder = tmp_path / "reader"
    (folder / "dicom-folder").mkdir(parents=True)
    for seed, name in enumerate(("head.nii", "second.nii", "third.nii")):
        (folder / name).write_bytes(nifti(seed))
    for n, one in enumerate(slices("1.2.3.1")):
        (folder / "dicom-folder" / f"{n:03d}.dcm").write_bytes(encoded(one))
    return folder


@pytest.fixture
def reader(environment: dict[str, str], hospital: Hospital) -> dict[str, str]:
    """The reader's environment: the command is on the PATH, AUTH holds the header with the site's key."""
    auth = f"Authorization: Bearer {hospital.key}"
    return environment | {"PATH": f"{HIPPOCAMP.parent}:{environment['PATH']}", "AUTH": auth}
