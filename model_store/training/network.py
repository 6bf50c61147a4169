"""The slice network as shipped: softened slices through the backbone, and local contrast, in one pass."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_store.served.shapes import CELL, HEIGHT, LEAST_WEIGHT, SOFT, WIDTH
from model_store.training.backbone import FEATURES, Convention, fuse_blocks

CLASSES = ("CDR 0", "CDR 0.5", "CDR >=1")
REACH, EMPTY = 2.0, 8
"""Local contrast compares a cell of 4 x 4 pixels with a Gaussian of 2 cells; up to 8 is background."""


class Trunk(nn.Module):
    """Normalised pictures (n, 3, h, w) -> features of the last block (n, 2048, h / 32, w / 32)."""

    qconfig: torch.ao.quantization.QConfig | None

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.quant = torch.ao.quantization.QuantStub()
        self.dequant = torch.ao.quantization.DeQuantStub()
        self.stem = nn.Sequential(*(backbone.get_submodule(name) for name in ("conv1", "bn1", "relu")))
        self.maxpool = backbone.get_submodule("maxpool")
        self.blocks = nn.Sequential(*(backbone.get_submodule(f"layer{k}") for k in (1, 2, 3, 4)))

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.dequant(self.blocks(self.maxpool(self.stem(self.quant(pictures)))))
        return features


class Softened(nn.Module):
    """Grey slices (n, height, width) -> (n, height / 2, width / 2), smoothed by a Gaussian of 1.4 pixels.

    How sharp a slice is tells of the scanner and of every resampling on the way here; below this width all
    heads are equally soft. Half the size costs about half of the time.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", _halving(height))
        self.register_buffer("columns", _halving(width).T.contiguous())
        self.rows: Tensor
        self.columns: Tensor

    def forward(self, grey: Tensor) -> Tensor:
        soft: Tensor = self.rows @ grey @ self.columns
        return soft


def _halving(count: int) -> Tensor:
    """(count / 2, count): each row a Gaussian about the middle of two pixels; rows sum to 1."""
    middles = torch.arange(count // 2, dtype=torch.float32) * 2 + 0.5
    weights = _gaussian(middles[:, None] - torch.arange(count)[None], SOFT)
    return weights / weights.sum(1, keepdim=True)


class LocalContrast(nn.Module):
    """Grey slices (n, height, width) -> (n, height / 4 * width / 4): how much brighter than its surroundings.

    A cell's mean over that of the brain around it, less one: whatever multiplies a neighbourhood (a coil's
    gain, a bias field) cancels, while fluid where tissue is expected stays. Cells without brain give 0.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", _reaching(height // CELL))
        self.register_buffer("columns", _reaching(width // CELL))
        self.rows: Tensor
        self.columns: Tensor

    def forward(self, grey: Tensor) -> Tensor:
        brain = nn.functional.avg_pool2d((grey > EMPTY).to(torch.float32).unsqueeze(1), CELL).squeeze(1)
        light = nn.functional.avg_pool2d(grey.unsqueeze(1), CELL).squeeze(1)
        share = (self.rows @ brain @ self.columns).clamp(min=0.003)
        around = self.rows @ light @ self.columns / share
        contrast = (light - brain * around) / around.clamp(min=20.0)
        return torch.where(brain > 0, contrast, torch.zeros_like(contrast)).flatten(1)


def _reaching(count: int) -> Tensor:
    """(count, count): each row a Gaussian about its cell."""
    places = torch.arange(count, dtype=torch.float32)
    return _gaussian(places[:, None] - places[None], REACH)


def _gaussian(apart: Tensor, width: float) -> Tensor:
    """Weights at these distances; 0 where there is none to speak of (`LEAST_WEIGHT`)."""
    weights = torch.exp(-(apart**2) / (2 * width**2))
    return torch.where(weights < LEAST_WEIGHT, 0.0, weights)


class SliceNetwork(nn.Module):
    """uint8 slices (n, height, width) -> logits (n, 3), evidence (n, 3, h, w), features (n, k), float32.

    The head is global average pooling + linear, so Grad-CAM of the last block (Selvaraju et al. 2017) is
    the class activation map of Zhou et al. 2016, ReLU(sum_k w_ck A_k), up to the factor 1 / (h w): no
    gradient. `evidence` is that sum before the ReLU. features: 2,048 pooled ones, then the local contrast,
    which `Pooling` weighs by the slice's place in the slab.
    """

    def __init__(
        self, trunk: nn.Module, convention: Convention, size: tuple[int, int] = (HEIGHT, WIDTH)
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.softened = Softened(*size)
        self.contrast = LocalContrast(*size)
        self.head = nn.Linear(FEATURES, len(CLASSES))
        self.register_buffer("mean", torch.tensor(convention.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(convention.std).view(1, 3, 1, 1))
        self.register_buffer("offset", torch.zeros(1, FEATURES, 1, 1))
        self.offset: Tensor
        self.mean: Tensor
        self.std: Tensor

    def forward(self, slices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grey = slices.to(torch.float32)
        pictures = self.softened(grey).unsqueeze(1).expand(-1, 3, -1, -1)
        pictures = ((pictures - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        features = self.trunk(pictures) + self.offset
        pooled = features.mean((2, 3))
        evidence = torch.einsum("ck,nkhw->nchw", self.head.weight, features)
        return self.head(pooled), evidence, torch.cat([pooled, self.contrast(grey)], 1)

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """weight: (3, 2048), bias: (3,)."""
        with torch.no_grad():
            self.head.weight.copy_(weight)
            self.head.bias.copy_(bias)


def build_float(backbone: nn.Module, convention: Convention) -> SliceNetwork:
    """The float twin; the backbone is copied, so a later quantization of one does not touch the other."""
    return SliceNetwork(Trunk(copy.deepcopy(backbone)), convention).eval()


def quantize(twin: SliceNetwork, calibration: Sequence[Tensor], *, engine: str = "x86") -> SliceNetwork:
    """Static int8 of the trunk: weights per channel, activations by range; head and maps stay float.

    All 8 bits are used (PyTorch's default keeps one back for CPUs without VNNI, at three times the
    error), and what is left of each feature's mean error is taken off (bias correction, Nagel et al.
    2019).

    calibration: batches of uint8 slices (n, height, width) of *training* subjects.
    engine: `x86`, `onednn` or `fbgemm`.
    """
    with warnings.catch_warnings():
        # torch.ao.quantization says at every step that it is deprecated; the frozen network does not need it.
        warnings.simplefilter("ignore")
        return _quantize(twin, calibration, engine)


def _quantize(twin: SliceNetwork, calibration: Sequence[Tensor], engine: str) -> SliceNetwork:
    network = copy.deepcopy(twin).eval()
    trunk = network.trunk
    assert isinstance(trunk, Trunk)  # noqa: S101 (narrowing for mypy)
    _fuse(trunk)
    trunk.qconfig = torch.ao.quantization.QConfig(
        activation=torch.ao.quantization.MinMaxObserver.with_args(reduce_range=False),
        weight=torch.ao.quantization.default_per_channel_weight_observer,
    )
    torch.backends.quantized.engine = engine
    torch.ao.quantization.prepare(trunk, inplace=True)
    with torch.inference_mode():
        for batch in calibration:
            network(batch)
    torch.ao.quantization.convert(trunk, inplace=True)
    correct_mean(network, twin, calibration)
    return network


def correct_mean(network: SliceNetwork, twin: SliceNetwork, calibration: Sequence[Tensor]) -> None:
    """Take off what is left of each feature's mean error against the float twin."""
    with torch.inference_mode():
        errors = [(twin(batch)[2] - network(batch)[2])[:, :FEATURES] for batch in calibration]
    network.offset = torch.cat(errors).mean(0).view(1, FEATURES, 1, 1).clone()


def freeze(network: SliceNetwork, example: Tensor) -> torch.jit.ScriptModule:
    """Traced and frozen TorchScript; the batch size stays free. example: (n >= 2, height, width) uint8."""
    with torch.inference_mode(), warnings.catch_warnings():
        # The scales are constants on purpose.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(network.eval(), example)
        frozen: torch.jit.ScriptModule = torch.jit.freeze(traced)
        return frozen


def _fuse(trunk: Trunk) -> None:
    torch.ao.quantization.fuse_modules(trunk.stem, ["0", "1", "2"], inplace=True)
    fuse_blocks(trunk.blocks)
