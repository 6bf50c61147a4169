"""What the network saw and where it looked: slices, montage, and the map as a volume."""

from __future__ import annotations

from flask import Blueprint, Response

from contracts.errors import StoreUnavailable, WrongState
from contracts.result import CLASS_KEYS
from contracts.stack import HEIGHT, SLICES, WIDTH
from gateway.access.auth import own_job
from gateway.http.errors import NO_JOB, NoPictures
from gateway.http.operations import Operation, operation
from gateway.images import artifacts, heatmap, pictures
from gateway.images.geometry import left_edge, on_brain_grid, spacing_mm
from gateway.images.schemas import BrainMapQuery, OverlayQuery, OverviewQuery, SliceInfo, SliceList
from gateway.reports.routes import succeeded
from gateway.resources import resources
from jobstore import deployed

blueprint = Blueprint("pictures", __name__, url_prefix="/v1/jobs/<job_id>")

PNG, NIFTI = "image/png", "application/gzip"
_ERRORS = (*NO_JOB, WrongState, NoPictures, StoreUnavailable)


@blueprint.get("/slices")
@operation(Operation("List the slices", "pictures", {200: SliceList}, errors=_ERRORS))
def slices(job_id: str) -> SliceList:
    """Geometry of the pictures, and each slice's own evidence for each class."""
    blobs, job = resources().blobs, succeeded(job_id)
    stack, explanation = artifacts.load_stack(blobs, job), artifacts.load_explanation(blobs, job)
    return SliceList(
        width=WIDTH,
        height=HEIGHT,
        spacing_mm=round(spacing_mm(stack), 3),
        left_edge=left_edge(stack),
        activation_scale=round(pictures.activation_scale(explanation), 4),
        slices=[
            SliceInfo(n=n, logits=dict(zip(CLASS_KEYS, map(float, logits), strict=True)))
            for n, logits in enumerate(explanation.slice_logits.round(4), start=1)
        ],
    )


@blueprint.get("/slices/<int:n>.png")
@operation(Operation("Draw one slice", "pictures", {200: PNG}, query=OverlayQuery, errors=_ERRORS))
def draw(job_id: str, n: int, query: OverlayQuery) -> Response:
    """Slice n, 1 (lowest) to 32; plain without `overlay`, else under the map of that class."""
    if not 1 <= n <= SLICES:
        raise NoPictures(f"There is no slice {n}; they are numbered 1 to {SLICES}", slice=n)
    blobs, job = resources().blobs, succeeded(job_id)
    pixels = artifacts.load_stack(blobs, job).slices[n - 1]
    if query.overlay:
        share = pictures.heat(artifacts.load_explanation(blobs, job), n - 1, CLASS_KEYS.index(query.overlay))
        pixels = pictures.paint(pixels, share, query.opacity)
    return Response(pictures.to_png(pictures.upright(pixels), query.scale), content_type=PNG)


@blueprint.get("/overview.png")
@operation(Operation("Draw all slices", "pictures", {200: PNG}, query=OverviewQuery, errors=_ERRORS))
def overview(job_id: str, query: OverviewQuery) -> Response:
    """A montage of the 32 slices, 8 a row, under the map of the decided class (or none, or another)."""
    blobs, job = resources().blobs, succeeded(job_id)
    overlay = query.overlay or artifacts.decided(job)
    stack = artifacts.load_stack(blobs, job)
    explanation = None if overlay == "none" else artifacts.load_explanation(blobs, job)
    which = 0 if overlay == "none" else CLASS_KEYS.index(overlay)
    return Response(
        pictures.to_png(pictures.montage(stack, explanation, which, query.opacity)), content_type=PNG
    )


@blueprint.get("/qc.png")
@operation(Operation("Draw the quality sheet", "pictures", {200: PNG}, errors=_ERRORS))
def quality(job_id: str) -> Response:
    """Outlines of brain and template, the 32 slices, every figure of the quality gate, and its verdict.

    Also of a volume that the gate refused, as long as the pipeline that judged it is in service.
    """
    job = own_job(job_id)
    if not job.state.is_terminal:
        raise WrongState(f"The job is {job.state}; ask again when it has ended", state=str(job.state))
    pipeline = (job.result or {}).get("pipeline_digest") or deployed.current(resources().client)[0]
    return Response(artifacts.load_sheet(resources().blobs, job, pipeline), content_type=PNG)


@blueprint.get("/explanation.nii.gz")
@operation(
    Operation(
        "Download the activation map as a volume",
        "pictures",
        {200: NIFTI},
        query=BrainMapQuery,
        errors=_ERRORS,
    )
)
def explanation(job_id: str, query: BrainMapQuery) -> Response:
    """NIfTI-1 on the voxel grid of the submitted volume, or of the brain (same shape and affine)."""
    blobs, job = resources().blobs, succeeded(job_id)
    which = query.class_ or artifacts.decided(job)
    path = artifacts.paths(job).heatmap(which, query.grid)
    try:
        data = blobs.get(path)
    except FileNotFoundError:
        stack, maps = artifacts.load_stack(blobs, job), artifacts.load_explanation(blobs, job)
        stack = on_brain_grid(stack) if query.grid == "brain" else stack
        data = heatmap.to_nifti(stack, maps, CLASS_KEYS.index(which))
        blobs.put(path, data)
    name = f"{job.id}-{which}.nii.gz"
    return Response(
        data, content_type=NIFTI, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
