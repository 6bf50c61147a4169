"""Every hostile file ends in its code, within bounds of memory and time, and the worker is none the worse."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from contracts.errors import HippocampError
from deploy.local.sample import sample_volume
from gateway.uploads.sanitize.pool import SandboxPool
from gateway.uploads.sanitize.task import Task
from imaging.sniff import PEEK, sniff
from preprocessing_service.settings import Settings
from tests.hostile import archives, dicom_files, heads, inventions, lying_headers
from tests.hostile.cage import Cage
from tests.hostile.case import Case
from tests.hostile.conftest import MEMORY_BYTES, Row
from tests.hostile.test_fuzz import KINDS

pytestmark = pytest.mark.hostile

CASES = [*lying_headers.CASES, *archives.CASES, *dicom_files.CASES, *inventions.CASES, *heads.CASES]
PEAK_MB = 512
"""No file of the corpus may cost more than this above the idle worker; real heads take about 50."""

SECONDS = 30
"""Of computing; waiting for the machine does not count."""

MOST_UPLOAD = 1 << 30

ROOM = 16 << 20


GATEWAY = frozenset(("taken", "input.bad_geometry", "input.not_a_volume", "input.corrupt"))
"""It looks at headers only, and in another order: a file with two faults may be refused for the other one."""


def received(pool: SandboxPool, path: Path) -> str:
    """What the gateway says of the file: it looks at its beginning, and a child cleans it."""
    with path.open("rb") as sent, tempfile.TemporaryFile() as out:
        try:
            kind = KINDS[sniff(sent.read(PEEK)).media]
            pool.sanitize(Task(kind, MOST_UPLOAD), sent, out)
        except HippocampError as error:
            return error.code
    return "taken"


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_the_file_ends_in_its_code(
    one: Case, cage: Cage, pool: SandboxPool, folder: Path, table: list[Row]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries that write the corpus say what we do wrong on purpose
        path = one.write(folder)
    at_the_gateway, verdict = received(pool, path), cage.prepare(path)
    table.append((one.name, at_the_gateway, verdict))
    assert at_the_gateway in one.codes | GATEWAY
    assert verdict.code in one.codes, verdict.detail
    assert verdict.peak_mb < PEAK_MB
    assert verdict.seconds < SECONDS
    assert list(folder.iterdir()) == [path], "something was written beside the file"


def test_names_in_archives_lead_nowhere() -> None:
    assert list(Path("/tmp").glob("hippocamp-slipped-*")) == []


def test_the_next_good_file_is_prepared(cage: Cage) -> None:
    assert cage.prepare(sample_volume()).code == "ok"


def test_the_memory_limit_is_the_workers() -> None:
    assert Settings().memory_bytes == MEMORY_BYTES


def test_hitting_the_memory_limit_is_a_code_and_no_death(cage: Cage, folder: Path) -> None:
    """A block of over 32 MB is never found in freed memory (glibc maps it anew), so that this one, of 50 MB,
    does not fit in 16 MB above the idle worker whatever that worker has freed before."""
    head, wide = nib.load(sample_volume()), folder / "wide.nii"
    voxels = np.asanyarray(head.dataobj).astype(np.float32)
    assert voxels.nbytes >= 3 * ROOM
    nib.save(nib.Nifti1Image(voxels, head.affine), wide)
    assert cage.prepare(wide).code == "ok"
    with Cage(room_bytes=ROOM) as small:
        refused = small.prepare(wide)
    assert (refused.code, "memory" in refused.detail) == ("input.too_large", True), refused
