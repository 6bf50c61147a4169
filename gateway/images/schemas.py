"""The wire types of slices, overlays and maps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from gateway.http.schemas import Wire


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


class BrainMapQuery(ExplanationQuery):
    """Which map is written, and on whose voxels."""

    grid: Literal["input", "brain"] = Field(
        default="input", description="Voxels of the volume that was sent, or of `brain.nii.gz`"
    )


class LayerQuery(Wire):
    """What of a cut is drawn: the anatomy opaque, everything else on a clear ground."""

    layer: Literal["anatomy", "cdr0", "cdr05", "cdr1", "outline", "slab"] = Field(
        default="anatomy",
        description="Anatomy; a class's map; the template's brain and ventricles; the model's field",
    )


class PlaneInfo(Wire):
    """One of the three planes: how many cuts, how large, and which side of the subject each edge is."""

    count: int
    width: int
    height: int
    left: Literal["R", "A"]
    right: Literal["L", "P"]
    top: Literal["A", "S"]
    bottom: Literal["P", "I"]
    start: int = Field(ge=1, description="The cut to show first: through the middle of what the model saw")


class PlaneList(Wire):
    """Geometry of the cuts through the whole brain."""

    spacing_mm: float = Field(description="Edge of one pixel, in the template's space")
    planes: dict[str, PlaneInfo]
    slab: list[int] = Field(description="The axial cut through the middle of each of the 32 slices")


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
