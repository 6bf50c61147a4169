"""Slices of a real brain that need no download (MNI152, from nilearn) and a network of random weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from nilearn.datasets import load_mni152_template

from model_store.training.backbone import CAFFE, random_backbone
from model_store.training.network import SliceNetwork, build_float


@pytest.fixture(scope="session")
def template_slices() -> npt.NDArray[np.uint8]:
    """(32, 208, 176) uint8: axial slices of the MNI152 T1 template, anterior in the first row."""
    volume = np.asarray(load_mni152_template(resolution=1).dataobj)  # x, y, z at 1 mm
    slab = volume[:, :, 70:102].transpose(2, 1, 0)[:, ::-1, ::-1]
    slices = np.zeros((32, 208, 176), dtype=np.uint8)
    height, width = (min(a, b) for a, b in zip(slab.shape[1:], slices.shape[1:], strict=True))
    slices[:, :height, :width] = np.clip(slab[:, :height, :width] / slab.max() * 255, 0, 255)
    return slices


@pytest.fixture(scope="session")
def twin() -> SliceNetwork:
    """A float network with seeded random weights whose batch norms fit its activations."""
    torch.manual_seed(7)
    network = build_float(random_backbone(), CAFFE)
    network.set_head(torch.randn(3, 2048) / 45, torch.zeros(3))
    return network
