"""The steps of one volume as spans of its job's trace."""

from __future__ import annotations

from typing import Self

from opentelemetry.trace import INVALID_SPAN, Span

from contracts.states import Stage
from runtime import tracing


class Steps:
    """Follows the pipeline's word that a step begins, which is also the end of the one before."""

    def __init__(self, around: Span) -> None:
        self._around = around
        self._present: Span = INVALID_SPAN

    def enter(self, step: str) -> None:
        """The pipeline is at `step` now."""
        self._present.end()
        self._present = tracing.begin_part(self._around, step, service=Stage.PREPROCESS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if error is not None:
            tracing.fail(self._present, type(error).__name__)
        self._present.end()
