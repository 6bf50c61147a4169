"""Fill a gateway with realistic jobs, to look at its pages without workers.

python -m tests.integration.gateway.seed http://127.0.0.1:8080 redis://127.0.0.1:6390/0 .run/blobs
"""

from __future__ import annotations

import gzip
import io
import json
import sys

import httpx
import nibabel as nib
import numpy as np
from nilearn import datasets, image
from scipy import ndimage

from contracts.errors import NotAHead
from contracts.explanation import Explanation
from contracts.result import Intervals, Probabilities, Result
from contracts.stack import HEIGHT, SLICES, WIDTH, Stack
from contracts.states import Stage
from imaging.grid import BRAIN
from jobstore import deployed
from jobstore.store import JobStore
from runtime.blobs import BlobStore, brain_path, explanation_path, stack_path
from runtime.redis_connections import connect

PIPELINE, MODEL = "3f1c" * 16, "9ab7" * 16
GRID_TO_MNI = np.array([[-1.044, 0, 0, 91.9], [0, 1.046, 0, -126.8], [0, 0, 1.013, 1.3], [0, 0, 0, 1.0]])
SURE, UNSURE = (0.86, 0.11, 0.03), (0.31, 0.41, 0.28)


def template_stack() -> Stack:
    """The MNI152 brain on the training grid."""
    brain = image.math_img(
        "t * m", t=datasets.load_mni152_template(1), m=datasets.load_mni152_brain_mask(resolution=1)
    )
    to_voxel = np.linalg.inv(brain.affine) @ GRID_TO_MNI
    at = np.indices((WIDTH, HEIGHT, SLICES)).reshape(3, -1)
    voxels = to_voxel[:3] @ np.vstack([at, np.ones(at.shape[1])])
    values = ndimage.map_coordinates(brain.get_fdata(), voxels, order=1).reshape(WIDTH, HEIGHT, SLICES)
    slices = np.clip(values.transpose(2, 1, 0) / np.percentile(values, 99.8) * 235, 0, 255).astype(np.uint8)
    quality = {
        "brain_volume_ml": 1512.4,
        "contrast_gm_wm": 1.37,
        "registration_overlap": 0.953,
        "noise_ratio": 0.041,
    }
    return Stack(slices, GRID_TO_MNI, brain.shape, brain.affine, quality, {"strip": 0.21, "register": 0.13})


def template_brain() -> bytes:
    """The MNI152 brain on the grid of kept brains, as preprocessing writes it."""
    brain = image.math_img(
        "t * m", t=datasets.load_mni152_template(1), m=datasets.load_mni152_brain_mask(resolution=1)
    )
    shape = tuple(reversed(BRAIN.shape))
    at = np.vstack([np.indices(shape).reshape(3, -1), np.ones(np.prod(shape))])
    voxels = (np.linalg.inv(brain.affine) @ BRAIN.to_mni)[:3] @ at
    values = ndimage.map_coordinates(brain.get_fdata(), voxels, order=1).reshape(shape)
    grey = np.clip(values / np.percentile(values, 99.8) * 235, 0, 255).astype(np.uint8)
    return gzip.compress(nib.Nifti1Image(grey, BRAIN.to_mni).to_bytes(), 1)


def made_up_maps(seed: int) -> Explanation:
    """Smooth hot spots, strongest for the middle class."""
    random = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(random.random((SLICES, 3, 7, 6)), (3, 0, 0.8, 0.8))
    field = (
        np.maximum(field - np.quantile(field, 0.6), 0)
        / field.std()
        * np.array([0.4, 1.2, 0.8])[:, None, None]
    )
    return Explanation(field.astype(np.float16), field.mean(axis=(2, 3)).astype(np.float32))


def made_up_result(p: tuple[float, float, float], stack: Stack, *, odd: float) -> Result:
    """A result whose uncertainty fits its probabilities."""
    keys, cdr = ("cdr0", "cdr05", "cdr1"), ("0", "0.5", ">=1")
    best = int(np.argmax(p))
    spread = {k: (max(0.0, v - 0.13), min(1.0, v + 0.12)) for k, v in zip(keys, p, strict=True)}
    kept = list(cdr) if max(p) < 0.6 else [cdr[best]]
    return Result(
        cdr=cdr[best],
        label=("normal", "very mild", "mild or worse")[best],
        probabilities=Probabilities(**dict(zip(keys, p, strict=True))),
        interval=Intervals(**spread),
        prediction_set=kept,
        uncertain=len(kept) == 3,
        out_of_distribution=odd,
        model_digest=MODEL,
        pipeline_digest=PIPELINE,
        model_engine="int8 x86",
        quality=stack.quality,
        regions={"medial temporal lobe": 1.62, "lateral ventricles": 1.21, "frontal cortex": 0.44},
        seconds={"preprocess": 0.44, "infer": 0.71},
    )


def submit(gateway: str, seed: int) -> str:
    """A small volume of noise, sent over HTTP; its job id."""
    noise = np.random.default_rng(seed).integers(0, 99, (40, 40, 40)).astype(np.int16)
    body = nib.Nifti1Image(noise, np.eye(4)).to_bytes()
    answer = httpx.post(f"{gateway}/v1/jobs", files={"file": io.BytesIO(body)}, trust_env=False)
    answer.raise_for_status()
    return str(answer.json()["id"])


def main(gateway: str, redis_url: str, blobs_url: str) -> None:
    """One sure, one uncertain, one refused, one at work, one waiting; prints their ids."""
    client, blobs = connect(redis_url), BlobStore(blobs_url)
    job_store, stack = JobStore(client), template_stack()
    deployed.record_heartbeat(client, "preprocess")
    deployed.record_heartbeat(client, "model_server")
    for name, seed in (("sure", 1), ("unsure", 2), ("refused", 3), ("working", 4), ("waiting", 5)):
        sys.stdout.write(f"{name} {submit(gateway, seed)}\n")
        if name == "waiting":
            return
        (claim,) = job_store.claim(Stage.PREPROCESS, "seed", lease_seconds=3600)
        site, artifact_prefix = claim.job.site, claim.job.artifact_prefix
        if name == "refused":
            job_store.fail(
                claim, NotAHead("No brain was found: 12 mL look like one, 600 are needed", volume_ml=12)
            )
        elif name == "working":
            job_store.renew(claim, lease_seconds=3600, step="skull_strip")
        else:
            where, shown = (
                stack_path(site, artifact_prefix, PIPELINE),
                explanation_path(site, artifact_prefix, pipeline=PIPELINE, model=MODEL),
            )
            blobs.put(where, stack.to_bytes())
            blobs.put(brain_path(site, artifact_prefix, PIPELINE), template_brain())
            blobs.put(shown, made_up_maps(seed).to_bytes())
            job_store.advance(
                claim,
                Stage.INFER,
                {"stack_blob": where, "pipeline_digest": PIPELINE, "quality": json.dumps(stack.quality)},
            )
            (claim,) = job_store.claim(Stage.INFER, "seed")
            p, odd = (SURE, 0.62) if name == "sure" else (UNSURE, 1.38)
            fields = {
                "result": made_up_result(p, stack, odd=odd).model_dump_json(),
                "explanation_blob": shown,
                "model_digest": MODEL,
            }
            job_store.succeed(claim, fields)


if __name__ == "__main__":
    main(*sys.argv[1:])
