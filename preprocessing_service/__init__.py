"""One head volume in, the model-ready stack of slices out: a pure library without queues or web."""

from __future__ import annotations

from preprocessing_service.digest import pipeline_digest
from preprocessing_service.pipeline import prepare

__all__ = ["pipeline_digest", "prepare"]
