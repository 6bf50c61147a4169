"""The shipped int8 network on real slices: its maps are Grad-CAM by autograd on the float twin."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model_store.evaluation.agreement import float_twin
from model_store.release.digest import RELEASE
from model_store.served.model import Model
from model_store.served.softening import softened
from model_store.training.cohort import data_folder, read_cohort, weights_file
from tests.unit.model_store.test_network import cosine, grad_cam

DATA = os.environ.get("HIPPOCAMP_DATA")

pytestmark = [
    pytest.mark.skipif(not DATA, reason="HIPPOCAMP_DATA is not set: no real slices, no ImageNet weights"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def stacks() -> npt.NDArray[np.uint8]:
    """(6, 32, 208, 176) uint8: subjects spread over the cohort."""
    cohort = read_cohort(data_folder())
    chosen = np.linspace(0, len(cohort.subjects) - 1, 6).astype(int)
    return np.stack([cohort.stack(cohort.subjects[row]) for row in chosen])


def test_served_maps_are_those_of_the_float_twin(stacks: npt.NDArray[np.uint8]) -> None:
    """Grad-CAM by autograd on the float twin, before its ReLU, with the contrast's part added as served."""
    twin, model = float_twin(RELEASE, weights_file(data_folder())), Model(RELEASE)
    seen = model.forward(stacks)
    served = model.pooling.maps(seen)[:, 4::8]  # four slices of each subject
    slices = torch.from_numpy(np.ascontiguousarray(softened(stacks)[:, 4::8]).reshape(-1, 208, 176))
    evidence = seen.evidence.copy()
    for stage in range(3):
        signed = grad_cam(twin, slices, stage, signed=True)
        places = signed.shape[-2:]
        evidence[:, 4::8, stage] = signed.reshape(6, 4, *places) * (places[0] * places[1])
    expected = model.pooling.maps(replace(seen, evidence=evidence))[:, 4::8]
    for stage in range(3):
        cosines = [cosine(served[v, :, stage], expected[v, :, stage]) for v in range(6)]
        assert min(cosines) > 0.99, (stage, cosines)
