"""The wire types of slices, overlays and maps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from gateway.schemas import Wire


class OverlayQuery(Wire):
    """How a slice is drawn."""

    overlay: Annotated[
        Literal["cdr0", "cdr05", "cdr1"] | None, Field(description="Class whose map is laid over")
    ] = None
    opacity: float = Field(default=0.6, ge=0, le=1)
    scale: int = Field(default=1, ge=1, le=4, description="Enlargement")


class OverviewQuery(Wire):
    """How the montage of all slices is drawn."""

    overlay: Literal["cdr0", "cdr05", "cdr1", "none"] | None = Field(
        default=None, description="The decided class when absent"
    )
    opacity: float = Field(default=0.5, ge=0, le=1)


class ExplanationQuery(Wire):
    """Which map is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    class_: Literal["cdr0", "cdr05", "cdr1"] | None = Field(
        default=None, alias="class", description="The decided class when absent"
    )


class SliceInfo(Wire):
    """One slice of the stack and what the network made of it."""

    n: int = Field(ge=1, le=32)
    logits: dict[str, float] = Field(description="Evidence of this slice for each class, before pooling")


class SliceList(Wire):
    """Geometry of the slice pictures."""

    width: int
    height: int
    spacing_mm: float = Field(description="Edge of one pixel at scale 1")
    left_edge: Literal["L", "R"] = Field(description="Side of the patient at the left edge of the picture")
    activation_scale: float = Field(
        description="Map value drawn at full colour, the same for every class and slice"
    )
    slices: list[SliceInfo]
