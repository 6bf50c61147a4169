"""The Celery application that prepares volumes: `celery -A preprocessing_service.consumer:app worker`."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from preprocessing_service import pipeline_digest, prepare
from preprocessing_service.service import build
from preprocessing_service.settings import Settings


def warm_up() -> None:
    """Leave one core to each process; load what the first volume would wait for."""
    threadpool_limits(1)
    torch.set_num_threads(1)


app = build(Settings(), prepare, digest=pipeline_digest, warm_up=warm_up)
