"""The canary inference: a small real request whose only purpose is to show that the model server works."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from contracts.stack import HEIGHT, SLICES, WIDTH
from workers.inference.prediction import PredictRequest


def canary_request(model_version: str = "") -> PredictRequest:
    """One volume for this model, "" for the server's first."""
    return PredictRequest.of_slices(canary_slices(), model_version=model_version)


@cache
def canary_slices() -> npt.NDArray[np.uint8]:
    """(1, 32, 208, 176) uint8: an ellipsoid of two tissues around a dark core, the same every time."""
    z, y, x = np.ogrid[-1 : 1 : SLICES * 1j, -1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    radius = np.sqrt((z / 2.5) ** 2 + (y / 0.85) ** 2 + (x / 0.8) ** 2)
    volume = np.select([radius < 0.25, radius < 0.75, radius < 1], [40, 190, 130], 0)
    return volume.astype(np.uint8)[np.newaxis]
