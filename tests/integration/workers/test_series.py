"""What was read goes with the job; a site decides whether contrast-enhanced series are read for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import preprocessing_service.service as preprocess
from contracts.errors import ContrastEnhanced
from contracts.result import Result
from contracts.series_read import PassedOver, SeriesRead
from contracts.stack import Stack
from contracts.states import JobState
from jobstore import sites
from tests.integration.workers.scene import fake_prepare, submit
from workers.context import WorkerContext
from workers.inference import infer

pytestmark = [pytest.mark.integration, pytest.mark.inputs]

OTHER = PassedOver(
    number=9, description="t2 flair", images=40, code="other_contrast", reason="another contrast"
)
SERIES = SeriesRead(
    number=5, description="t1 +c", images=176, voxel_mm=(1.0, 1.0, 1.0), agent=True, passed_over=(OTHER,)
)


def enhanced(path: Path, *, allow_agent: bool = False, **more: Any) -> Stack:
    """A study whose only T1 was taken with an agent."""
    if not allow_agent:
        raise ContrastEnhanced("The only T1 series was taken with a contrast agent")
    stack = fake_prepare(path, **more)
    object.__setattr__(stack, "series", SERIES)
    return stack


@pytest.mark.parametrize("allowed", [False, True])
def test_the_site_decides(
    place: WorkerContext, desk: preprocess.WorkerContext, monkeypatch: pytest.MonkeyPatch, *, allowed: bool
) -> None:
    sites.save(place.redis, sites.Site(name="a", allow_contrast=allowed))
    monkeypatch.setattr(desk, "prepare", enhanced)
    job_id = submit(place.job_store, place.blobs, "level 20")
    preprocess.work_once(desk)
    infer.work_once(place)
    job = place.job_store.get(job_id)
    if not allowed:
        assert (job.state, job.text("error_code")) == (JobState.FAILED, "input.contrast_enhanced")
        return
    assert Result.model_validate(job.result).series == SERIES


def test_the_option_survives_redis(place: WorkerContext) -> None:
    for allowed in (True, False):
        sites.save(place.redis, sites.Site(name="b", allow_contrast=allowed))
        found = sites.find(place.redis, "b")
        assert found is not None
        assert found.allow_contrast is allowed
