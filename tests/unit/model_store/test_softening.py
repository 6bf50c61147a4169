"""What the network sees is as soft as it says, and a blurred head looks nearly the same to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from model_store.served.shapes import LEAST_WEIGHT, SOFT
from model_store.served.softening import _ACROSS, softened
from model_store.training.network import LocalContrast, Softened


def test_across_slices_it_is_a_gaussian_of_the_brain(template_slices: np.ndarray) -> None:
    lit = template_slices > 0
    mean, share = (gaussian_filter(one.astype(float), (SOFT, 0, 0)) for one in (template_slices, lit))
    found = softened(template_slices[None])[0]
    assert found.dtype == np.uint8
    assert np.array_equal(found > 0, lit)
    expected = np.where(lit, mean / np.maximum(share, 0.05), 0)
    assert np.abs(found[6:-6] - expected[6:-6]).max() <= 1.5


def test_volumes_do_not_mix(template_slices: np.ndarray) -> None:
    both = softened(np.stack([template_slices, template_slices[::-1]]))
    assert np.array_equal(both[0], softened(template_slices[None])[0])
    assert np.abs(both[1].astype(int) - both[0][::-1].astype(int)).max() <= 1


def test_within_slices_it_is_a_gaussian_at_half_the_size(template_slices: np.ndarray) -> None:
    grey = torch.from_numpy(template_slices[10:12]).float()
    found = Softened(208, 176)(grey)
    assert found.shape == (2, 104, 88)
    smooth = gaussian_filter(grey.numpy(), (0, SOFT, SOFT))
    halved = smooth.reshape(2, 104, 2, 88, 2).mean((2, 4))
    assert np.abs(found.numpy() - halved).max() < 6
    assert Softened(208, 176)(torch.full((1, 208, 176), 7.0)).numpy() == pytest.approx(7.0, abs=1e-4)


def test_a_slightly_blurred_head_looks_nearly_the_same(template_slices: np.ndarray) -> None:
    """Of what a blur changes in the slices, most is gone in what the backbone sees."""
    blurred = gaussian_filter(template_slices.astype(np.float32), 0.7).astype(np.uint8)
    seen = Softened(208, 176)
    before, after = (
        seen(torch.from_numpy(softened(stack[None])[0]).float()).numpy()
        for stack in (template_slices, blurred)
    )
    assert np.abs(before - after).mean() < 0.5 * np.abs(template_slices.astype(float) - blurred).mean()


def test_no_weight_is_a_denormal_number() -> None:
    """They change no sum and made the network half as slow again."""
    buffers = [*Softened(208, 176).buffers(), *LocalContrast(208, 176).buffers(), torch.from_numpy(_ACROSS)]
    for weights in buffers:
        assert weights[weights > 0].min() > LEAST_WEIGHT / 100
