"""The maps of the forward pass are Grad-CAM, and int8 keeps what the float network says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model_store.training.backbone import CAFFE, random_backbone
from model_store.training.network import CLASSES, LocalContrast, SliceNetwork, freeze, quantize

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def grad_cam(
    network: SliceNetwork, slices: torch.Tensor, stage: int, *, signed: bool = False
) -> npt.NDArray[np.float32]:
    """Selvaraju et al. 2017 by autograd: gradients of the class score, averaged over places, as weights."""
    kept: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        output.requires_grad_(True)
        output.retain_grad()
        kept.append(output)

    hook = network.trunk.register_forward_hook(keep)
    network(slices)[0][:, stage].sum().backward()
    hook.remove()
    features, gradient = kept[0].detach(), kept[0].grad
    assert gradient is not None
    weights = gradient.mean((2, 3), keepdim=True)
    evidence = (weights * features).sum(1)
    return (evidence if signed else torch.relu(evidence)).numpy()


def cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    return float(a.ravel() @ b.ravel() / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_maps_of_the_forward_pass_are_grad_cam(
    twin: SliceNetwork, template_slices: npt.NDArray[np.uint8]
) -> None:
    slices = torch.from_numpy(template_slices[::16])
    maps = torch.relu(twin(slices)[1]).detach().numpy()
    for stage in range(len(CLASSES)):
        assert cosine(maps[:, stage], grad_cam(twin, slices, stage)) > 0.9999


def test_int8_maps_are_grad_cam_of_the_float_twin(
    twin: SliceNetwork, template_slices: npt.NDArray[np.uint8]
) -> None:
    slices = torch.from_numpy(template_slices)
    int8 = freeze(quantize(twin, [slices[::8]]), slices[:2])
    logits, evidence, _ = int8(slices[1::16])
    expected = twin(slices[1::16])[0].detach()
    assert (logits - expected).abs().max() < 0.1 * expected.abs().max()
    for stage in range(len(CLASSES)):
        assert cosine(torch.relu(evidence).numpy()[:, stage], grad_cam(twin, slices[1::16], stage)) > 0.99


def test_frozen_int8_takes_any_number_of_slices(
    twin: SliceNetwork, template_slices: npt.NDArray[np.uint8]
) -> None:
    slices = torch.from_numpy(template_slices)
    int8 = freeze(quantize(twin, [slices[::16]]), slices[:2])
    together = int8(slices[:5])[0]
    assert torch.allclose(together[4:5], int8(slices[4:5])[0], atol=1e-5)


def test_v1_strides_lie_in_the_first_convolution() -> None:
    block = random_backbone(CAFFE).get_submodule("layer3.0")
    assert block.get_submodule("conv1").stride == (2, 2)
    assert block.get_submodule("conv2").stride == (1, 1)


def test_local_contrast_does_not_see_gain_and_sees_fluid(template_slices: npt.NDArray[np.uint8]) -> None:
    grey = torch.from_numpy(template_slices[10:12]).float()
    contrast = LocalContrast(208, 176)
    plain = contrast(grey)
    gain = torch.linspace(0.7, 1.0, 176)  # a slope over the whole width: a coil's, not a ventricle's
    bright = grey > 60
    assert (contrast(torch.where(bright, grey * 0.8, grey)) - plain).abs().mean() < 0.02
    assert (contrast(grey * gain) - plain).abs().mean() < 0.02
    darker = grey.clone()
    darker[:, 100:108, 84:92] *= 0.3
    found = (contrast(darker) - plain).reshape(2, 52, 44)
    assert found[:, 25:27, 21:23].max() < -0.1
    assert plain.reshape(2, 52, 44)[:, 0, 0].eq(0).all()
