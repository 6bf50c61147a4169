"""The ImageNet ResNet50 that every slice goes through, with the input convention of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from model_store import torchvision_import

torchvision_import.prepare()

from torchvision.models import ResNet50_Weights  # noqa: E402  (imports only after prepare())
from torchvision.models.quantization import resnet50  # noqa: E402
from torchvision.models.quantization.resnet import QuantizableBottleneck  # noqa: E402

FEATURES = 2048
"""Channels of the last block."""


@dataclass(frozen=True)
class Convention:
    """Grey 0-255 enters three channels as (grey - mean) / std; which convolution takes a block's stride."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride_in_first: bool


CAFFE = Convention(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0), stride_in_first=True)
"""He et al. 2015 (v1): RGB 0-255 minus means; the first 1x1 convolution takes the stride."""
TORCHVISION = Convention(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), stride_in_first=False)
"""torchvision's own weights (v1.5): the 3x3 convolution takes the stride."""


def random_backbone(convention: Convention = CAFFE) -> nn.Module:
    """ResNet50 without its fc, in eval mode, randomly initialised, ready to be quantized."""
    network: nn.Module = resnet50(weights=None, quantize=False)
    if convention.stride_in_first:
        _stride_in_first(network)
    network.fc = nn.Identity()
    return network.eval()


def load_backbone(weights: Path | None) -> tuple[nn.Module, Convention]:
    """The float network with ImageNet weights, and the convention they need.

    weights: a v1 state dict with torchvision's names (fp16 is fine); None downloads torchvision's own.
    Errors: FileNotFoundError; RuntimeError when a tensor is missing or has another shape.
    """
    if weights is None:
        state = ResNet50_Weights.IMAGENET1K_V1.get_state_dict(progress=False)
        convention = TORCHVISION
    else:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        convention = CAFFE
    network = random_backbone(convention)
    wanted = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    if missing := sorted(wanted - state.keys()):
        raise RuntimeError(f"not a ResNet50 state dict: {len(missing)} tensors missing, first {missing[0]}")
    network.load_state_dict({name: state[name].float() for name in wanted}, strict=False)
    return network, convention


def fuse_blocks(network: nn.Module) -> None:
    """Fold batch norms and ReLUs into the convolutions of every residual block, in place."""
    for block in network.modules():
        if isinstance(block, QuantizableBottleneck):
            block.fuse_model(is_qat=False)


def _stride_in_first(network: nn.Module) -> None:
    for name in ("layer2", "layer3", "layer4"):
        for convolution, stride in (("conv1", (2, 2)), ("conv2", (1, 1))):
            block = network.get_submodule(f"{name}.0.{convolution}")
            assert isinstance(block, nn.Conv2d)  # noqa: S101 (narrowing for mypy)
            block.stride = stride
