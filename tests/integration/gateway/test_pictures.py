"""Slices, overlays, montage and the map on the input's grid."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from contracts.errors import NotT1w
from contracts.stack import HEIGHT, WIDTH
from contracts.states import Stage
from gateway.images.artifacts import paths
from imaging.grid import BRAIN, BRAIN_MM
from jobstore import deployed
from jobstore.store import JobStore
from runtime.blobs import BlobStore, sheet_path
from tests.integration.gateway.conftest import PIPELINE, head

pytestmark = pytest.mark.integration


def pixels(http: FlaskClient, address: str) -> np.ndarray:
    answer = http.get(address)
    assert (answer.status_code, answer.content_type) == (200, "image/png"), answer.text
    return np.asarray(Image.open(io.BytesIO(answer.data)))


def test_a_plain_slice_is_the_stack_nose_up(http: FlaskClient, finished: str) -> None:
    shown = pixels(http, f"/v1/jobs/{finished}/slices/7.png")
    np.testing.assert_array_equal(shown, head().slices[6][::-1])


def test_overlays_differ_by_class_and_opacity(http: FlaskClient, finished: str) -> None:
    base = f"/v1/jobs/{finished}/slices/16.png"
    plain = np.repeat(pixels(http, base)[..., None], 3, axis=2)
    none, most = pixels(http, f"{base}?overlay=cdr0"), pixels(http, f"{base}?overlay=cdr1")
    np.testing.assert_array_equal(none, plain)  # a class without evidence paints nothing
    assert np.abs(most.astype(int) - plain).mean() > 10
    np.testing.assert_array_equal(pixels(http, f"{base}?overlay=cdr1&opacity=0"), plain)
    assert pixels(http, f"{base}?scale=3").shape == (3 * HEIGHT, 3 * WIDTH)


def test_the_overview_shows_all_slices(http: FlaskClient, finished: str) -> None:
    address = f"/v1/jobs/{finished}/overview.png"
    assert pixels(http, address).shape == (4 * HEIGHT, 8 * WIDTH, 3)
    np.testing.assert_array_equal(pixels(http, address), pixels(http, f"{address}?overlay=cdr1"))
    assert pixels(http, f"{address}?overlay=none").ndim == 2


def test_the_quality_sheet_is_the_stored_one(
    http: FlaskClient, submitted: str, finish: Callable[[str], None], blobs: BlobStore, job_store: JobStore
) -> None:
    address = f"/v1/jobs/{submitted}/qc.png"
    assert http.get(address).json["code"] == "job.wrong_state"
    finish(submitted)
    assert http.get(address).json["code"] == "result.no_pictures"
    blobs.put(sheet_path("here", job_store.get(submitted).artifact_prefix, PIPELINE), b"a sheet")
    answer = http.get(http.get(f"/v1/jobs/{submitted}").json["links"]["qc"])
    assert (answer.status_code, answer.content_type, answer.data) == (200, "image/png", b"a sheet")


def test_a_refused_head_shows_why(
    http: FlaskClient, submitted: str, blobs: BlobStore, job_store: JobStore
) -> None:
    deployed.publish(job_store.redis, "pipeline", PIPELINE)
    (claim,) = job_store.claim(Stage.PREPROCESS, "test")
    assert http.get(f"/v1/jobs/{submitted}").json["links"]["qc"] is None
    job_store.fail(claim, NotT1w("the rim is too bright", rim_to_core=0.95))
    blobs.put(sheet_path("here", claim.job.artifact_prefix, PIPELINE), b"why")
    links = http.get(f"/v1/jobs/{submitted}").json["links"]
    assert (http.get(links["qc"]).data, links["overview"]) == (b"why", None)


def test_bad_slices_and_parameters(http: FlaskClient, finished: str) -> None:
    for path, code in (
        ("slices/0.png", "result.no_pictures"),
        ("slices/33.png", "result.no_pictures"),
        ("slices/x.png", "request.not_found"),
        ("slices/1.png?overlay=cdr2", "request.bad_value"),
        ("slices/1.png?opacity=2", "request.bad_value"),
        ("slices/1.png?scale=9", "request.bad_value"),
        ("explanation.nii.gz?class=all", "request.bad_value"),
    ):
        assert http.get(f"/v1/jobs/{finished}/{path}").json["code"] == code


def test_the_map_lies_on_the_grid_of_the_input(
    http: FlaskClient, finished: str, blobs: BlobStore, job_store: JobStore
) -> None:
    answer = http.get(f"/v1/jobs/{finished}/explanation.nii.gz")
    image = nib.Nifti1Image.from_bytes(gzip.decompress(answer.data))
    assert image.shape == head().input_shape
    np.testing.assert_allclose(image.affine, head().input_affine, atol=1e-4)
    assert image.get_fdata().max() > 1
    assert finished in answer.headers["Content-Disposition"]
    assert blobs.exists(paths(job_store.get(finished)).heatmap("cdr1"))
    assert http.get(f"/v1/jobs/{finished}/explanation.nii.gz").data == answer.data


def test_the_slice_list_tells_sides_and_evidence(http: FlaskClient, finished: str) -> None:
    body = http.get(f"/v1/jobs/{finished}/slices").json
    assert (body["width"], body["height"], body["left_edge"], body["spacing_mm"]) == (WIDTH, HEIGHT, "R", 1.0)
    assert [one["n"] for one in body["slices"]] == list(range(1, 33))
    assert body["slices"][0]["logits"]["cdr1"] > body["slices"][0]["logits"]["cdr0"]


def test_pictures_that_are_gone_say_so(
    http: FlaskClient, finished: str, blobs: BlobStore, job_store: JobStore
) -> None:
    blobs.delete(paths(job_store.get(finished)).explanation)
    assert http.get(f"/v1/jobs/{finished}/slices").json["code"] == "result.no_pictures"
    assert http.get(f"/v1/jobs/{finished}/slices/1.png").status_code == 200


def test_cuts_hang_as_radiologists_hang_them(
    http: FlaskClient, finished: str, blobs: BlobStore, job_store: JobStore
) -> None:
    brain = np.zeros(BRAIN.shape[::-1], np.uint8)
    brain[100:110, 20:30, 40:50] = 200  # right, at the back, low
    kept = gzip.compress(nib.Nifti1Image(brain, BRAIN.to_mni).to_bytes())
    blobs.put(paths(job_store.get(finished)).brain, kept)
    about = http.get(f"/v1/jobs/{finished}/planes").json
    axial = about["planes"]["axial"]
    assert (axial["count"], axial["width"], axial["height"]) == (132, 126, 154)
    assert [axial[edge] for edge in ("left", "right", "top", "bottom")] == ["R", "L", "A", "P"]
    assert len(about["slab"]) == 32
    seen = np.argwhere(pixels(http, f"/v1/jobs/{finished}/planes/axial/45.png") > 0).mean(0)
    assert seen == pytest.approx([153 - 24.5, 125 - 104.5])  # below the middle, left of it
    coronal = np.argwhere(pixels(http, f"/v1/jobs/{finished}/planes/coronal/25.png") > 0).mean(0)
    assert coronal == pytest.approx([131 - 44.5, 125 - 104.5])
    sagittal = np.argwhere(pixels(http, f"/v1/jobs/{finished}/planes/sagittal/105.png") > 0).mean(0)
    assert sagittal == pytest.approx([131 - 44.5, 153 - 24.5])  # the nose is on the left
    assert not pixels(http, f"/v1/jobs/{finished}/planes/axial/1.png").any()
    same = nib.Nifti1Image.from_bytes(gzip.decompress(http.get(f"/v1/jobs/{finished}/brain.nii.gz").data))
    np.testing.assert_array_equal(np.asarray(same.dataobj), brain)


def test_layers_lie_on_clear_ground(http: FlaskClient, finished: str) -> None:
    base = f"/v1/jobs/{finished}/planes/axial/64.png"
    hot, none = pixels(http, f"{base}?layer=cdr1"), pixels(http, f"{base}?layer=cdr0")
    assert hot.shape == none.shape == (154, 126, 4)
    assert hot[..., 3].max() > 100
    assert none[..., 3].max() == 0  # a class without evidence paints nothing
    rim = pixels(http, f"{base}?layer=outline")
    assert rim.shape == (3 * 154, 3 * 126, 4)
    assert {tuple(colour) for colour in rim[rim[..., 3] > 0]} == {(255, 176, 0, 255), (64, 196, 255, 255)}
    lit = np.argwhere(rim[..., 0] == 255) / 3 * BRAIN_MM  # mm
    assert 165 < np.ptp(lit[:, 0]) < 190  # a brain's length and width
    assert 130 < np.ptp(lit[:, 1]) < 150
    assert pixels(http, f"{base}?layer=slab")[..., 3].any()
    assert not pixels(http, f"/v1/jobs/{finished}/planes/axial/1.png?layer=cdr1")[..., 3].any()


def test_the_map_on_the_grid_of_the_brain(http: FlaskClient, finished: str) -> None:
    answer = http.get(f"/v1/jobs/{finished}/explanation.nii.gz?class=cdr1&grid=brain")
    image = nib.Nifti1Image.from_bytes(gzip.decompress(answer.data))
    assert image.shape == BRAIN.shape[::-1]
    assert np.asarray(image.dataobj).max() > 0


def test_planes_of_a_brain_that_is_not_kept(http: FlaskClient, finished: str) -> None:
    for path in ("planes", "planes/axial/3.png", "brain.nii.gz", "outline.nii.gz"):
        answer = http.get(f"/v1/jobs/{finished}/{path}")
        assert (answer.status_code, answer.json["code"]) == (404, "result.no_pictures")
    for path in ("planes/oblique/3.png", "planes/axial/0.png", "planes/axial/133.png"):
        assert http.get(f"/v1/jobs/{finished}/{path}?layer=slab").json["code"] == "result.no_pictures"
