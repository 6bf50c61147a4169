"""The GPU's network on a CPU: rebuilt from the int8 archive, it answers as the archive does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model_store.release.digest import RELEASE
from model_store.served import accelerated
from model_store.served.accelerated import Accelerated
from model_store.served.model import Model

# The frozen network is TorchScript on purpose (docs/explanation/model.md): torch calls it deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
CPU = torch.device("cpu")


class Strange(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        doubled: torch.Tensor = torch.ops.quantized.mul_scalar(pictures, 2.0)
        return doubled.dequantize()


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(RELEASE)


def answers(
    model: Model, slices: npt.NDArray[np.uint8], dtype: torch.dtype | None
) -> dict[str, npt.NDArray[np.float32]]:
    model.fast = Accelerated(model.network, CPU, dtype) if dtype else None
    try:
        return model.answer(slices)
    finally:
        model.fast = None


def test_the_rebuilt_network_answers_as_the_int8_one(
    model: Model, template_slices: npt.NDArray[np.uint8]
) -> None:
    stacks = template_slices[None]
    ours, theirs = answers(model, stacks, torch.bfloat16), answers(model, stacks, None)
    assert {k: (v.shape, v.dtype) for k, v in ours.items()} == {
        k: (v.shape, v.dtype) for k, v in theirs.items()
    }
    assert np.abs(ours["probabilities"] - theirs["probabilities"]).max() < 0.02
    maps, other = (found["maps"].astype(np.float64).ravel() for found in (ours, theirs))
    assert maps @ other / np.linalg.norm(maps) / np.linalg.norm(other) > 0.98
    assert not np.array_equal(ours["slice_logits"], theirs["slice_logits"]), "another arithmetic"


def test_a_batch_larger_than_a_launch_comes_back_in_order(
    model: Model, template_slices: npt.NDArray[np.uint8]
) -> None:
    fast = Accelerated(model.network, CPU, torch.float32)
    fast.sizes = (3,)
    slices = torch.from_numpy(template_slices[:4].copy())
    whole, parts = Accelerated(model.network, CPU, torch.float32)(slices), fast(slices)
    for one, other in zip(whole, parts, strict=True):
        assert one.dtype is torch.float32
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_a_layer_without_a_twin_stops_the_start() -> None:
    example = torch.quantize_per_tensor(torch.zeros(1), 1.0, 0, torch.quint8)
    script = torch.jit.freeze(torch.jit.trace_module(Strange().eval(), {"forward": example}))
    with pytest.raises(RuntimeError, match="mul_scalar"):
        accelerated.FloatNetwork(script, CPU, torch.float32)


def test_the_device_is_chosen_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIPPOCAMP_MODEL_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerated.device_wanted() == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert accelerated.device_wanted(1) == torch.device("cuda", 1)
    monkeypatch.setenv("HIPPOCAMP_MODEL_DEVICE", "cpu")
    assert accelerated.device_wanted(1) == CPU
    monkeypatch.setenv("HIPPOCAMP_MODEL_DEVICE", "gpu")
    with pytest.raises(RuntimeError, match="HIPPOCAMP_MODEL_DEVICE"):
        accelerated.device_wanted()


def test_a_cpu_without_vnni_computes_in_floats(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """8-bit sums saturate there: the int8 network must not answer."""
    monkeypatch.setenv("HIPPOCAMP_MODEL_DEVICE", "cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    assert accelerated.accelerated(model.network, None) is None
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    found = accelerated.accelerated(model.network, None)
    assert found is not None
    assert found.dtype == torch.float32
