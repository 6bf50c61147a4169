"""The steps of one volume as spans of its job's trace."""

from __future__ import annotations

from typing import Self

from runtime.tracing import NOTHING, Span


class Steps:
    """Follows the pipeline's word that a step begins, which is also the end of the one before."""

    def __init__(self, around: Span) -> None:
        self._around = around
        self._present = NOTHING

    def enter(self, step: str) -> None:
        """The pipeline is at `step` now."""
        self._present.end()
        self._present = self._around.child(step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        self._present.__exit__(kind, error, where)
