"""The whole brain to look at: cuts along three planes in layers, and the volumes a viewer loads."""

from __future__ import annotations

import gzip

import numpy as np
from flask import Blueprint, Response

from contracts.errors import StoreUnavailable, WrongState
from contracts.result import CLASS_KEYS
from contracts.stack import HEIGHT, SLICES, WIDTH
from gateway.http.errors import NO_JOB, NoPictures
from gateway.http.operations import Operation, operation
from gateway.images import artifacts, heatmap, pictures, planes
from gateway.images.planes import AXES, COUNTS, Plane
from gateway.images.schemas import LayerQuery, PlaneInfo, PlaneList
from gateway.reports.routes import succeeded
from gateway.resources import resources
from imaging.grid import BRAIN, BRAIN_MM, GRID_TO_MNI

blueprint = Blueprint("planes", __name__, url_prefix="/v1/jobs/<job_id>")

PNG, NIFTI = "image/png", "application/gzip"
_ERRORS = (*NO_JOB, WrongState, NoPictures, StoreUnavailable)
_EDGES: dict[Plane, dict[str, str]] = {
    "axial": {"left": "R", "right": "L", "top": "A", "bottom": "P"},
    "coronal": {"left": "R", "right": "L", "top": "S", "bottom": "I"},
    "sagittal": {"left": "A", "right": "P", "top": "S", "bottom": "I"},
}


@blueprint.get("/planes")
@operation(Operation("List the planes", "pictures", {200: PlaneList}, errors=_ERRORS))
def index(job_id: str) -> PlaneList:
    """Size, number and edges of the cuts; 404 when the brain is no longer kept."""
    artifacts.load_brain(resources().blobs, succeeded(job_id))
    slab = [_cuts_at(n)[2] for n in range(SLICES)]
    return PlaneList(spacing_mm=BRAIN_MM, planes={plane: _about(plane) for plane in AXES}, slab=slab)


@blueprint.get("/planes/<plane>/<int:cut>.png")
@operation(Operation("Draw one cut", "pictures", {200: PNG}, query=LayerQuery, errors=_ERRORS))
def draw(job_id: str, plane: Plane, cut: int, query: LayerQuery) -> Response:
    """One layer of cut `cut`, from 1 at the left, back or bottom of the brain."""
    if plane not in AXES:
        raise NoPictures(f"There is no plane {plane!r}; there are {', '.join(AXES)}")
    if not 1 <= cut <= COUNTS[plane]:
        raise NoPictures(f"There is no {plane} cut {cut}; they are numbered 1 to {COUNTS[plane]}", cut=cut)
    blobs, job, n = resources().blobs, succeeded(job_id), cut - 1
    if query.layer == "anatomy":
        pixels = planes.anatomy(artifacts.load_brain(blobs, job), plane, n)
    elif query.layer == "outline":
        pixels = planes.outline(plane, n)
    elif query.layer == "slab":
        pixels = planes.slab(plane, n)
    else:
        which = CLASS_KEYS.index(query.layer)
        pixels = planes.evidence(artifacts.load_explanation(blobs, job), which, plane, n)
    return Response(pictures.to_png(pixels), content_type=PNG, headers={"Cache-Control": "private, no-cache"})


@blueprint.get("/brain.nii.gz")
@operation(Operation("Download the brain", "pictures", {200: NIFTI}, errors=_ERRORS))
def brain(job_id: str) -> Response:
    """The stripped brain, NIfTI-1: voxels along the template's axes, affine into the volume that was sent."""
    job = succeeded(job_id)
    try:
        data = resources().blobs.get(artifacts.paths(job).brain)
    except FileNotFoundError:
        raise NoPictures("The brain of this job is no longer kept; submit the volume again") from None
    return _download(data, f"{job.id}-brain.nii.gz")


@blueprint.get("/outline.nii.gz")
@operation(Operation("Download the template's outline", "pictures", {200: NIFTI}, errors=_ERRORS))
def outline(job_id: str) -> Response:
    """On the voxels of `brain.nii.gz`: 1 on the rim of the template's brain, 2 on that of its ventricles."""
    job = succeeded(job_id)
    affine = artifacts.load_brain(resources().blobs, job).affine
    data = gzip.compress(heatmap.nifti(planes.outline_volume(), affine, 1.0), compresslevel=1, mtime=0)
    return _download(data, f"{job.id}-outline.nii.gz")


def _download(data: bytes, name: str) -> Response:
    return Response(
        data, content_type=NIFTI, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _about(plane: Plane) -> PlaneInfo:
    axes = [axis for axis in range(3) if axis != AXES[plane]]
    width, height = (BRAIN.shape[2 - axis] for axis in axes)
    size = {"count": COUNTS[plane], "width": width, "height": height, "start": _start()[AXES[plane]]}
    return PlaneInfo.model_validate(size | _EDGES[plane])


def _start() -> list[int]:
    """The cuts, from 1, through the middle of the slab."""
    return _cuts_at((SLICES - 1) / 2)


def _cuts_at(n: float) -> list[int]:
    """The sagittal, coronal and axial cut, from 1, through the middle of slice n (0-based)."""
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2, n, 1.0])
    return [int(at) + 1 for at in np.rint(np.linalg.inv(BRAIN.to_mni) @ GRID_TO_MNI @ middle)[:3]]
