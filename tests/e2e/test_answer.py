"""A real volume through the whole system: the answer, its pictures, the cache, the webhook."""

from __future__ import annotations

import gzip
import io
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.e2e import volumes
from tests.e2e.receiver import Receiver
from tests.e2e.service import Service

pytestmark = pytest.mark.e2e


def test_a_head_gets_an_answer_with_provenance(service: Service, volume: Path) -> None:
    accepted = service.send(volume.read_bytes())
    assert accepted.status_code in {200, 202}, accepted.text
    job_id = accepted.json()["id"]
    assert accepted.headers["Location"].endswith(job_id)
    result = service.result(job_id)
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    for key, value in result["probabilities"].items():
        low, high = result["interval"][key]
        assert 0 <= low <= value <= high <= 1
    assert len(result["model_digest"]) == len(result["pipeline_digest"]) == 64
    assert "Not for diagnosis" in result["notice"]
    assert {"read", "strip", "register"} <= set(result["seconds"])


def test_the_pictures_show_the_head(service: Service, volume: Path) -> None:
    job_id = service.send(volume.read_bytes()).json()["id"]
    service.result(job_id)
    plain = service.http.get(f"/v1/jobs/{job_id}/slices/16.png").raise_for_status()
    overlay = service.http.get(f"/v1/jobs/{job_id}/slices/16.png?overlay=cdr1").raise_for_status()
    brain = np.asarray(Image.open(io.BytesIO(plain.content)).convert("L"))
    assert brain.shape == (208, 176)
    assert 0.2 < (brain > 20).mean() < 0.7
    assert overlay.content != plain.content


def test_the_heat_map_lies_on_the_input(service: Service, volume: Path) -> None:
    job_id = service.send(volume.read_bytes()).json()["id"]
    service.result(job_id)
    answer = service.http.get(f"/v1/jobs/{job_id}/explanation.nii.gz").raise_for_status()
    heat = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    head = nib.load(volume)
    assert heat.shape == head.shape
    np.testing.assert_allclose(heat.affine, head.affine, atol=1e-3)
    warm = np.asanyarray(heat.dataobj) > 0
    assert np.asanyarray(head.dataobj)[warm].mean() > np.asanyarray(head.dataobj).mean()


def test_the_same_file_again_is_answered_from_the_cache(service: Service, volume: Path) -> None:
    service.result(service.send(volume.read_bytes()).json()["id"])
    again = service.send(volume.read_bytes())
    assert again.status_code == 200
    assert again.json()["cache"] == "hit"
    assert again.json()["state"] == "succeeded"
    service.http.get(f"/v1/jobs/{again.json()['id']}/slices/3.png").raise_for_status()


def test_a_dicom_series_and_its_nifti_agree(service: Service, volume: Path) -> None:
    series = service.send(volumes.dicom_series(volume), name="series.zip")
    assert series.status_code == 202, series.text
    one = service.result(service.send(volume.read_bytes()).json()["id"])["probabilities"]
    other = service.result(series.json()["id"])["probabilities"]
    assert max(abs(one[key] - other[key]) for key in one) < 0.02


def test_a_raw_body_is_taken_like_an_upload(service: Service, volume: Path) -> None:
    sent = service.send_raw(volumes.nudged(volume, 2))
    assert sent.status_code == 202, sent.text
    assert service.finished(sent.json()["id"])["state"] == "succeeded"


def test_the_webhook_is_signed_and_names_no_health_data(service: Service, volume: Path) -> None:
    with Receiver() as receiver:
        made = service.http.post("/v1/webhook-endpoints", json={"url": receiver.url})
        assert made.status_code == 201, made.text
        try:
            job_id = service.send_raw(volumes.nudged(volume, 3)).json()["id"]
            service.finished(job_id)
            event = receiver.verified(made.json()["secret"])
        finally:
            service.http.delete(f"/v1/webhook-endpoints/{made.json()['id']}")
    assert event["type"] == "job.succeeded"
    assert event["data"]["job_id"] == job_id
    assert "probabilities" not in str(event)


def test_metrics_count_what_was_done(service: Service, volume: Path) -> None:
    service.result(service.send(volume.read_bytes()).json()["id"])
    time.sleep(0.5)
    text = service.http.get("/metrics").raise_for_status().text
    assert "hippocamp_" in text
