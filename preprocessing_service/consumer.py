"""The Celery application that prepares volumes: `celery -A preprocessing_service.consumer:app worker`."""

from __future__ import annotations

from preprocessing_service import pipeline_digest, prepare
from preprocessing_service.service import build
from preprocessing_service.settings import Settings
from preprocessing_service.warm_up import warm_up

app = build(Settings(), prepare, digest=pipeline_digest, warm_up=warm_up)
