"""The network's layers against torch's own: norm, slabs, and the whole against the TorchScript."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from preprocessing_service.assets import network_file
from preprocessing_service.brain_extraction import slabs
from preprocessing_service.brain_extraction.activations import LANES, Moments, eight_apart, norm
from preprocessing_service.brain_extraction.network import _shuffled, model


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(2, 3, shape).astype(np.float32))


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 16, LANES])
def test_norm_is_torchs_instance_norm(channels: int, *, rectified: bool) -> None:
    cells = random(1, channels, 5, 7, 11)  # fills neither a row of lanes nor a block of them
    wanted = functional.instance_norm(cells)
    wanted = wanted.relu() if rectified else wanted
    values = cells.permute(0, 2, 3, 4, 1).contiguous().numpy()
    norm(values.reshape(-1), channels, rectified=rectified)
    assert np.abs(values - wanted.permute(0, 2, 3, 4, 1).numpy()).max() < 1e-4


def test_norm_of_one_value_is_zero_and_of_huge_ones_finite() -> None:
    same = np.full(LANES * 3, 7.0, np.float32)
    norm(same, 16, rectified=False)
    assert np.abs(same).max() < 0.01
    huge = np.where(np.arange(LANES * 40) % 32 < 16, -1e15, 1e15).astype(np.float32)
    norm(huge, 16, rectified=False)
    assert np.allclose(np.abs(huge), 1, atol=1e-3)


def test_moments_of_pieces_are_those_of_the_whole() -> None:
    values = random(3000, 8).numpy()
    whole, pieces = values.copy().reshape(-1), values.copy().reshape(-1)
    norm(whole, 8, rectified=True)
    sums = Moments(8)
    for piece in np.split(pieces, [8 * 7, 8 * 1500]):
        sums.add(piece)
    sums.norm(pieces, rectified=True)
    assert np.abs(whole - pieces).max() < 1e-5


@pytest.fixture(params=[1, 5_000, 1 << 20], ids=["thin", "some", "one slab"])
def slab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slabs, "CELLS", request.param)


@pytest.mark.usefixtures("slab")
def test_the_first_layer_is_torchs() -> None:
    cells, weight = random(32, 32, 32), random(16, 1, 7, 7, 7, seed=1)
    y = functional.instance_norm(functional.conv3d(cells[None, None], weight, None, 2, 3)).relu()
    wanted = functional.max_pool3d(y, 3, 2, 1)
    assert (slabs.entered(cells, weight) - wanted).abs().max() < 1e-3


@pytest.mark.usefixtures("slab")
def test_doubling_is_torchs_transposed_convolution() -> None:
    x, weight = random(1, 16, 6, 10, 8), random(16, 8, 3, 3, 3, seed=1)
    wanted = functional.instance_norm(functional.conv_transpose3d(x, weight, None, 2, 1, 1)).relu()
    seen = slabs.doubled(x.contiguous(memory_format=slabs.LAST), _shuffled(weight))
    assert (seen - wanted).abs().max() < 1e-3


@pytest.mark.usefixtures("slab")
def test_a_convolution_in_place_is_torchs() -> None:
    x, weight = random(1, 8, 12, 10, 14), random(8, 8, 3, 3, 3, seed=1)
    wanted = functional.conv3d(x, weight, None, 1, 1)
    seen = slabs.in_place(x.contiguous(memory_format=slabs.LAST), weight.contiguous(memory_format=slabs.LAST))
    assert (seen - wanted).abs().max() < 1e-2


def test_eight_values_become_a_block() -> None:
    out = np.empty((2, 4, 6), np.float32)
    eight_apart(np.arange(1 * 2 * 3 * 8, dtype=np.float32).reshape(1, 2, 3, 8), out)
    assert out[:2, :2, :2].ravel().tolist() == list(range(8))
    assert out[1, 3, 5] == 47


@pytest.mark.parametrize("name", ["coarse", "fine"])
def test_the_network_equals_its_torchscript(name: str) -> None:
    cells = np.random.default_rng(0).normal(0.449, 0.226, (64, 64, 64)).astype(np.float32)
    with pytest.warns(DeprecationWarning, match="jit"):
        script = torch.jit.load(str(network_file(name)))
    with torch.inference_mode():
        wanted = script(torch.from_numpy(cells.copy())[None, None])[0, 1].numpy()
    assert np.abs(model(name).probability(cells) - wanted).max() < 0.005
