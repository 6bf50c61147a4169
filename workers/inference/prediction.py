"""What a model server is asked and what it answers: as data, and as the bytes that travel."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from contracts.errors import ModelServerUnavailable

_UNKNOWN = (math.nan,) * 4


@dataclass(frozen=True)
class VolumeInput:
    """One volume as the model gets it.

    stack_blob: where its slices lie in the blob store. covariates: four, in the model's order, NaN where
        nothing is known. slices: (32, 208, 176) uint8; None while the model server is to read them itself.
    """

    stack_blob: str = ""
    covariates: Sequence[float] = _UNKNOWN
    slices: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class PredictRequest:
    """Volumes that travel together, for one model.

    model_version: digest of the model that is to answer, "" for the one that the server has by default.
    traceparent: of the span that the server's own work belongs to.
    """

    volumes: Sequence[VolumeInput]
    model_version: str = ""
    traceparent: str = ""

    @classmethod
    def of_slices(
        cls,
        slices: npt.NDArray[np.uint8],
        *,
        covariates: npt.NDArray[np.float32] | None = None,
        model_version: str = "",
    ) -> PredictRequest:
        """For (volumes, 32, 208, 176) uint8, with (volumes, 4) covariates where any are known."""
        rows = [_UNKNOWN] * len(slices) if covariates is None else covariates.tolist()
        volumes = [VolumeInput("", row, one) for row, one in zip(rows, slices, strict=True)]
        return cls(volumes, model_version)

    @property
    def names_stacks(self) -> bool:
        """Whether the server reads the slices from the blob store's folder by itself."""
        return any(volume.slices is None for volume in self.volumes)

    def halves(self) -> tuple[PredictRequest, PredictRequest]:
        """The first half of the volumes, and the rest."""
        middle = len(self.volumes) // 2
        return replace(self, volumes=self.volumes[:middle]), replace(self, volumes=self.volumes[middle:])

    def body(self) -> bytes:
        """As the archive's handler reads it: JSON that names the stacks, or all slices and all covariates."""
        rows = [list(volume.covariates) for volume in self.volumes]
        is_any_known = any(math.isfinite(value) for row in rows for value in row)
        if self.names_stacks:
            asked: dict[str, Any] = {"stacks": [volume.stack_blob for volume in self.volumes]}
            if is_any_known:
                asked["covariates"] = [
                    [None if math.isnan(value) else value for value in row] for row in rows
                ]
            return json.dumps(asked).encode()
        parts = [np.ascontiguousarray(one.slices).data for one in self.volumes]
        if is_any_known:
            parts.append(np.array(rows, "<f4").data)
        return b"".join(parts)


@dataclass(frozen=True)
class ModelAnswer:
    """What the model says about one volume.

    probabilities: (3,) float32. interval: (3, 2) float32. slice_logits: (slices, 3) float32.
    maps: (slices, 3, h, w) float16. prediction_set: (3,) uint8.
    out_of_distribution: distance from the training data; above 1 is unusual.
    digest, engine: of the archive that answered. seconds: it spent on the whole request.
    started: when it began, Unix seconds by its own clock, 0 when it did not say. traceparent: as it got it.
    clinical: (3,) float32 with the covariates that were sent, NaN without any.
    card: the archive's model card as JSON, "" when it has none.
    """

    probabilities: npt.NDArray[np.float32]
    interval: npt.NDArray[np.float32]
    slice_logits: npt.NDArray[np.float32]
    maps: npt.NDArray[np.float16]
    out_of_distribution: float
    prediction_set: npt.NDArray[np.uint8]
    digest: str
    engine: str
    seconds: float
    started: float = 0.0
    traceparent: str = ""
    card: str = ""
    clinical: npt.NDArray[np.float32] = field(default_factory=lambda: np.full(3, np.nan, np.float32))


def read_answers(body: bytes, *, volumes: int) -> list[ModelAnswer]:
    """One answer a volume, in order; ModelServerUnavailable when the body is not what our handler writes."""
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as parts:
            arrays = {name: parts[name] for name in parts.files}
        about: dict[str, Any] = json.loads(arrays.pop("about").tobytes())
        shapes = {name: array.shape for name, array in arrays.items()}
        wrong = [name for name, shape in shapes.items() if shape[0] != volumes]
        if wrong or not np.isfinite(arrays["probabilities"]).all():
            raise ValueError(f"{volumes} volumes sent, got {shapes}")
        return [_one(arrays, n, about) for n in range(volumes)]
    except (ValueError, KeyError, OSError, IndexError, BadZipFile) as error:
        raise ModelServerUnavailable(f"The answer has another format than ours: {error}") from error


def _one(arrays: dict[str, npt.NDArray[Any]], n: int, about: dict[str, Any]) -> ModelAnswer:
    return ModelAnswer(
        probabilities=arrays["probabilities"][n].reshape(3),
        interval=arrays["interval"][n].reshape(3, 2),
        slice_logits=arrays["slice_logits"][n],
        maps=arrays["maps"][n],
        out_of_distribution=float(arrays["ood"][n]),
        prediction_set=arrays["prediction_set"][n].reshape(3),
        digest=about["model_digest"],
        engine=about["engine"],
        seconds=float(about["seconds"]),
        started=float(about.get("started", 0)),
        traceparent=str(about.get("traceparent", "")),
        card=str(about.get("card", "")),
        clinical=np.asarray(arrays["clinical"][n] if "clinical" in arrays else [np.nan] * 3, np.float32),
    )
