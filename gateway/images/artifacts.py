"""The stack and the maps behind a result, read from the blob store and kept while somebody scrolls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from contracts.explanation import Explanation
from contracts.job import Job
from contracts.result import CDR, CLASS_KEYS
from contracts.stack import Stack
from gateway.http.errors import NoPictures
from gateway.images.planes import Brain
from runtime.blobs import BlobStore, brain_path, explanation_path, sheet_path, stack_path


@dataclass(frozen=True)
class Paths:
    """Where the blobs of a job's result lie; equal inputs of one site share them."""

    stack: str
    explanation: str
    brain: str

    def heatmap(self, which: str, grid: str = "input") -> str:
        """The cached NIfTI volume of one class, on the voxels of the input or of the brain."""
        where = "" if grid == "input" else f"-{grid}"
        return f"{self.explanation.removesuffix('.npz')}-{which}{where}.nii.gz"


def paths(job: Job) -> Paths:
    """From the record, or derived from digests when the result came from the cache."""
    result = job.result or {}
    pipeline, model = result.get("pipeline_digest", ""), result.get("model_digest", "")
    return Paths(
        job.text("stack_blob") or stack_path(job.site, job.artifact_prefix, pipeline),
        job.text("explanation_blob")
        or explanation_path(job.site, job.artifact_prefix, pipeline=pipeline, model=model),
        brain_path(job.site, job.artifact_prefix, pipeline),
    )


def decided(job: Job) -> str:
    """Class key of the job's most probable stage."""
    return CLASS_KEYS[CDR.index((job.result or {})["cdr"])]


def load_stack(blobs: BlobStore, job: Job) -> Stack:
    """The prepared slices; NoPictures when they are no longer kept. Do not write into it: it is shared."""
    try:
        return _stack(blobs, paths(job).stack)
    except FileNotFoundError:
        raise _missing() from None


def load_brain(blobs: BlobStore, job: Job) -> Brain:
    """The whole brain; NoPictures when it is no longer kept. Do not write into it: it is shared."""
    try:
        return _brain(blobs, paths(job).brain)
    except (FileNotFoundError, ValueError):
        raise _missing() from None


def load_sheet(blobs: BlobStore, job: Job, pipeline: str) -> bytes:
    """The quality sheet (PNG) by this pipeline; NoPictures when there is none."""
    try:
        return blobs.get(sheet_path(job.site, job.artifact_prefix, pipeline))
    except FileNotFoundError:
        raise NoPictures("No quality sheet of this job is kept") from None


def load_explanation(blobs: BlobStore, job: Job) -> Explanation:
    """The activation maps; NoPictures when they are no longer kept. Do not write into it: it is shared."""
    try:
        return _explanation(blobs, paths(job).explanation)
    except FileNotFoundError:
        raise _missing() from None


def forget() -> None:
    """Drop what is kept in memory; something was erased."""
    _stack.cache_clear()
    _explanation.cache_clear()
    _brain.cache_clear()


@lru_cache(maxsize=16)
def _stack(blobs: BlobStore, path: str) -> Stack:
    return Stack.from_bytes(blobs.get(path))


@lru_cache(maxsize=16)
def _explanation(blobs: BlobStore, path: str) -> Explanation:
    return Explanation.from_bytes(blobs.get(path))


@lru_cache(maxsize=16)
def _brain(blobs: BlobStore, path: str) -> Brain:
    return Brain.from_bytes(blobs.get(path))


def _missing() -> NoPictures:
    return NoPictures("The pictures of this job are no longer kept; submit the volume again")
