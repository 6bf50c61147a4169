"""The preprocess consumer as a Celery application whose pipeline obeys the file: for worker subprocesses."""

from __future__ import annotations

from preprocessing_service.service import build
from preprocessing_service.settings import Settings
from tests.integration.workers.scene import PIPELINE, fake_prepare

app = build(Settings(), fake_prepare, digest=lambda: PIPELINE, warm_up=lambda: None)
