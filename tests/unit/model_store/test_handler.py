"""The handler as TorchServe calls it: batches in, one answer a request, bad bodies alone at fault."""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_store.release.digest import RELEASE, model_digest
from model_store.served import handler
from model_store.served.model import Model
from model_store.served.pooling import Forward, Pooling
from model_store.served.shapes import DEEP, POOLING

# The frozen network is TorchScript on purpose (docs/explanation/model.md): torch calls it deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


@dataclass
class Context:
    """What TorchServe hands to a handler, as far as ours looks at it."""

    system_properties: dict[str, str] = field(default_factory=lambda: {"model_dir": str(RELEASE)})
    status: dict[int, int] = field(default_factory=dict)
    content_type: dict[int, str] = field(default_factory=dict)

    headers: dict[str, str] = field(default_factory=dict)

    def get_request_header(self, _idx: int, key: str) -> str | None:
        return self.headers.get(key)

    def set_response_status(self, code: int, idx: int) -> None:
        self.status[idx] = code

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.content_type[idx] = value


@pytest.fixture(scope="module")
def context() -> Context:
    context = Context()
    assert handler.handle(None, context) == []
    return context


def body(**parts: npt.NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **parts)
    return out.getvalue()


def read(answer: bytes) -> dict[str, npt.NDArray[Any]]:
    with np.load(io.BytesIO(answer), allow_pickle=False) as parts:
        return dict(parts)


BAD = {
    "empty": b"",
    "junk": b"junk",
    "truncated": body(slices=np.zeros((1, 32, 208, 176), np.uint8))[:1000],
    "pickle": body(slices=np.array([{"a": 1}], dtype=object)),
    "other_name": body(images=np.zeros((1, 32, 208, 176), np.uint8)),
    "fewer_slices": body(slices=np.zeros((1, 31, 208, 176), np.uint8)),
    "no_volume": body(slices=np.zeros((0, 32, 208, 176), np.uint8)),
    "covariates_of_another_count": body(
        slices=np.zeros((1, 32, 208, 176), np.uint8), covariates=np.zeros((2, 4), np.float32)
    ),
    "float": body(slices=np.zeros((1, 32, 208, 176), np.float32)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_body_fails_alone(context: Context, template_slices: npt.NDArray[np.uint8], bad: bytes) -> None:
    context.status.clear()
    good = {"body": bytearray(body(slices=template_slices[None]))}
    answers = handler.handle([{"body": bad}, good], context)
    assert context.status == {0: 400}
    assert json.loads(answers[0])["code"] == 400
    assert re.search("slices|covariates", json.loads(answers[0])["message"])
    assert read(answers[1])["probabilities"].shape == (1, 3)


def test_batch_mates_do_not_change_an_answer(
    context: Context, template_slices: npt.NDArray[np.uint8]
) -> None:
    mirrored = template_slices[:, :, ::-1]
    alone = read(handler.handle([{"body": body(slices=mirrored[None])}], context)[0])
    requests = [
        {"body": body(slices=np.stack([template_slices, mirrored]))},
        {"body": body(slices=mirrored[None])},
    ]
    together = [read(answer) for answer in handler.handle(requests, context)]
    for name in ("probabilities", "slice_logits", "interval", "ood"):
        assert together[0][name][1] == pytest.approx(alone[name][0], abs=1e-5)
        assert together[1][name][0] == pytest.approx(alone[name][0], abs=1e-5)


def test_an_answer_keeps_its_promises(context: Context, template_slices: npt.NDArray[np.uint8]) -> None:
    answer = read(handler.handle([{"body": body(slices=template_slices[None])}], context)[0])
    kinds = {name: (part.shape, part.dtype.name) for name, part in answer.items() if name != "about"}
    assert kinds == {
        "probabilities": ((1, 3), "float32"),
        "interval": ((1, 3, 2), "float32"),
        "slice_logits": ((1, 32, 3), "float32"),
        "maps": ((1, 32, 3, 13, 11), "float16"),
        "ood": ((1,), "float32"),
        "prediction_set": ((1, 3), "uint8"),
        "clinical": ((1, 3), "float32"),
    }
    low, high = answer["interval"][0].T
    assert (low <= answer["probabilities"][0]).all()
    assert (answer["probabilities"][0] <= high).all()
    assert answer["prediction_set"][0][answer["probabilities"][0].argmax()] == 1
    assert (answer["maps"] >= 0).all()
    about = json.loads(answer["about"].tobytes())
    assert about["model_digest"] == model_digest()
    assert about["int8"] is True
    assert about["seconds"] > 0
    assert abs(about["started"] - time.time()) < 60
    assert about["traceparent"] == ""


def test_an_answer_names_the_trace_it_was_asked_in(
    context: Context, template_slices: npt.NDArray[np.uint8]
) -> None:
    asked = Context(headers={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"})
    answer = read(handler.handle([{"body": body(slices=template_slices[None])}], asked)[0])
    assert json.loads(answer["about"].tobytes())["traceparent"] == asked.headers["traceparent"]


def test_noise_is_further_from_the_training_data_than_a_brain(
    context: Context, template_slices: npt.NDArray[np.uint8]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, template_slices.shape, dtype=np.uint8)
    answer = read(handler.handle([{"body": body(slices=np.stack([noise, template_slices]))}], context)[0])
    assert answer["ood"][0] > 1
    assert answer["ood"][0] > answer["ood"][1]


def test_the_model_counts_only_the_files_of_its_manifest(tmp_path: Any) -> None:
    for path in RELEASE.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    pooling = tmp_path / POOLING
    pooling.write_bytes(pooling.read_bytes() + b"x")
    with pytest.raises(RuntimeError, match="manifest"):
        Model(tmp_path)


def test_covariates_give_a_second_answer_and_leave_the_first(
    context: Context, template_slices: npt.NDArray[np.uint8]
) -> None:
    slices, unknown = template_slices[None], np.nan
    known = np.array([[15, 80, unknown, unknown], [30, 80, unknown, unknown], [unknown] * 4], np.float32)
    requests = [{"body": body(slices=slices, covariates=one[None])} for one in known]
    low, high, none = (read(answer) for answer in handler.handle(requests, context))
    assert low["clinical"][0, 0] < 0.5 < high["clinical"][0, 0]
    assert np.isnan(none["clinical"]).all()
    assert low["probabilities"] == pytest.approx(none["probabilities"], abs=1e-6)


def test_slices_and_places_add_up_to_the_answer(template_slices: npt.NDArray[np.uint8]) -> None:
    """What maps and slice logits show is all that the probabilities are made of."""
    model = Model(RELEASE)
    seen, pooling = model.forward(template_slices[None]), model.pooling
    severity = pooling.severity(pooling.volume_features(seen.features))
    whole = severity[:, None] * pooling.constants["slopes"] + pooling.constants["steps"]
    logits = pooling.slice_logits(seen)
    assert logits.mean(axis=1) == pytest.approx(whole, abs=1e-3)
    positive, negative = pooling.maps(seen), pooling.maps(mirrored(seen, pooling))
    bias = pooling.constants["slopes"] * pooling.constants["offset"] + pooling.constants["steps"]
    assert (positive - negative).mean(axis=(-2, -1)) + bias == pytest.approx(logits, abs=1e-3)


def mirrored(seen: Forward, pooling: Pooling) -> Forward:
    """The same with all evidence turned round."""
    features = seen.features.copy()
    features[..., DEEP:] *= -1
    return Forward(seen.logits, -seen.evidence, features)
