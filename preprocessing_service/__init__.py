"""One head volume in, the model-ready stack of slices out: a pure library without queues or web."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preprocessing_service.digest import pipeline_digest
    from preprocessing_service.pipeline import prepare

__all__ = ["pipeline_digest", "prepare"]


def __getattr__(name: str) -> Any:
    """Loaded when first asked for: torch and numba cost seconds that a reader of one format need not pay."""
    if name == "prepare":
        from preprocessing_service.pipeline import prepare

        return prepare
    if name == "pipeline_digest":
        from preprocessing_service.digest import pipeline_digest

        return pipeline_digest
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
