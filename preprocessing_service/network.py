"""deepbet's networks, evaluated with their own weights at a third of the time their TorchScript takes.

A residual encoder and a light decoder (LinkNet) with instance norms. On one thread torch sends 3-D
convolutions to its slow path; here they go to oneDNN in channels-last order. Transposed convolutions of
stride 2 become one 2 x 2 x 2 convolution whose channels are shuffled into space, the last layer one matrix
product, and of the two softmax outputs only their difference is computed. Equal to the TorchScript
within 0.005 (tested).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import conv3d, pad

from preprocessing_service.activations import eight_apart, norm
from preprocessing_service.allocation import give_memory_back, keep_memory
from preprocessing_service.assets import network_file

Floats = npt.NDArray[np.float32]
LAST = torch.channels_last_3d
PLANES = 16
TAPS = {0: ((0, 1),), 1: ((0, 2), (1, 0))}
"""Stride 2, kernel 3, transposed, along one axis: output 2i is input i times tap 1; output 2i + 1 is input i
times tap 2 plus input i + 1 times tap 0. Here: parity -> (input offset, tap)."""


@cache
def model(name: str) -> BrainNet:
    """The `coarse` or `fine` network of this process, loaded on first use."""
    # One process per core is how this service scales: more threads in each only wait for each other.
    torch.set_num_threads(1)
    keep_memory()
    with warnings.catch_warnings():
        # torch wants torch.export for new models; deepbet's weights come as TorchScript.
        warnings.simplefilter("ignore", DeprecationWarning)
        return BrainNet(torch.jit.load(str(network_file(name)), map_location="cpu").state_dict())


def coarse_network(cells: Floats) -> Floats:
    """Brain probability of a whole field of view: (128, 128, 128) float32 in and out."""
    return model("coarse").probability(cells)


def fine_network(cells: Floats) -> Floats:
    """Brain probability of a brain and a tenth of its size around it, (n, n, n) float32 in and out."""
    give_memory_back()  # three times the coarse one's activations, none of which would fit into what was kept
    probability = model("fine").probability(cells)
    give_memory_back()
    return probability


class BrainNet:
    """Three-dimensional LinkNet over the weights of deepbet's state dictionary."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._plain = {
            name.removesuffix(".weight"): _ordered(w) for name, w in weights.items() if w.ndim == 5
        }
        names = ("up0.tp_conv.0", "up1.tp_conv.0", "up2.tp_conv.0", "tp_conv1.0")
        self._doubling = {name: _shuffled(weights[f"{name}.weight"]) for name in names}
        # Stride 1 transposed is an ordinary convolution with the kernel turned round.
        turned = weights["up3.tp_conv.0.weight"].transpose(0, 1).flip(2, 3, 4)
        self._plain["up3.tp_conv.0"] = _ordered(turned)
        last, bias = weights["tp_conv2.weight"], weights["tp_conv2.bias"]
        self._last = (last[:, 1] - last[:, 0]).reshape(len(last), 8).contiguous()
        self._last_bias = float(bias[1] - bias[0])

    def probability(self, cells: Floats) -> Floats:
        """(n, n, n) float32 standardised intensities -> probability of brain; n a multiple of 32."""
        with torch.inference_mode():
            return self._forward(torch.from_numpy(cells)[None, None])

    def _forward(self, x: Tensor) -> Floats:
        skips = [_pooled(self._conv(x, "init.0", 2))]
        for depth in range(4):
            skips.append(self._down(skips[-1], depth))
        x = skips.pop()
        for height in range(4):
            x = self._up(x, height).add_(skips.pop())
        x = self._double(x, "tp_conv1.0")
        return self._finish(self._conv(x, "conv.0"))

    def _conv(self, x: Tensor, name: str, stride: int = 1, *, rectified: bool = True) -> Tensor:
        return _norm(_convolve(x, self._plain[name], stride), rectified=rectified)

    def _double(self, x: Tensor, name: str) -> Tensor:
        y = _convolve(pad(x, (0, 1, 0, 1, 0, 1)), self._doubling[name], 1)
        return _norm(_spread(y, y.shape[1] // 8), rectified=True)

    def _down(self, x: Tensor, depth: int) -> Tensor:
        for block in ("block1", "block2"):
            halves = depth > 0 and block == "block1"
            at = f"down{depth}.{block}"
            y = self._conv(x, f"{at}.double_conv.0", 2 if halves else 1)
            y = self._conv(y, f"{at}.double_conv.3", rectified=False)
            x = y.add_(self._conv(x, f"{at}.downsample.0", 2, rectified=False) if halves else x).relu_()
        return x

    def _up(self, x: Tensor, height: int) -> Tensor:
        y = self._conv(x, f"up{height}.conv1.0")
        at = f"up{height}.tp_conv.0"
        y = self._double(y, at) if at in self._doubling else self._conv(y, at)
        return self._conv(y, f"up{height}.conv2.0")

    def _finish(self, x: Tensor) -> Floats:
        # Kernel and stride 2: each voxel makes its own eight, so the layer is one matrix product. Some planes
        # at a time: all at once would be the largest tensor of all.
        cells = x[0].permute(1, 2, 3, 0)
        out = np.empty([2 * n for n in cells.shape[:3]], np.float32)
        for begin in range(0, len(cells), PLANES):
            y = cells[begin : begin + PLANES] @ self._last
            y = torch.sigmoid_(y.add_(self._last_bias))
            out[2 * begin : 2 * (begin + PLANES)] = eight_apart(y.numpy())
        return out


def _ordered(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=LAST)


def _shuffled(weight: Tensor) -> Tensor:
    """(in, out, 3, 3, 3) transposed kernel -> (8 out, in, 2, 2, 2), one group of channels a parity."""
    inputs, outputs = weight.shape[:2]
    made = torch.zeros(8, outputs, inputs, 2, 2, 2)
    for parity, (i, j, k) in enumerate(product((0, 1), repeat=3)):
        for (x, tap_x), (y, tap_y), (z, tap_z) in product(TAPS[i], TAPS[j], TAPS[k]):
            made[parity, :, :, x, y, z] = weight[:, :, tap_x, tap_y, tap_z].t()
    return _ordered(made.reshape(8 * outputs, inputs, 2, 2, 2))


def _convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    # Odd kernels keep the size; the even ones of `_shuffled` get their padding from the caller.
    edge = weight.shape[2] // 2 if weight.shape[2] % 2 else 0
    if not torch.backends.mkldnn.is_available():
        return conv3d(x, weight, None, stride, edge)
    return torch.mkldnn_convolution(x, weight, None, [edge] * 3, [stride] * 3, [1] * 3, 1)


def _spread(y: Tensor, channels: int) -> Tensor:
    _, _, a, b, c = y.shape
    cells = y.permute(0, 2, 3, 4, 1).reshape(1, a, b, c, 2, 2, 2, channels)
    placed = cells.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(1, 2 * a, 2 * b, 2 * c, channels)
    return placed.permute(0, 4, 1, 2, 3)


def _norm(y: Tensor, *, rectified: bool) -> Tensor:
    channels = y.shape[1]
    if y.is_contiguous():  # what one channel becomes: plane by plane is as good, and turning it costs a copy
        for plane in y[0]:
            norm(plane.numpy().reshape(-1), 1, rectified)
        return y
    y = y.contiguous(memory_format=LAST)
    norm(y.permute(0, 2, 3, 4, 1).numpy().reshape(-1), channels, rectified)
    return y


def _pooled(x: Tensor) -> Tensor:
    """Maximum over 3 x 3 x 3, stride 2, of non-negative values: axis by axis, edges padded with zero."""
    for axis in (2, 3, 4):
        even, odd = x.unfold(axis, 2, 2).unbind(-1)
        before = odd.narrow(axis, 0, odd.shape[axis] - 1)
        x = torch.maximum(even, odd)
        rest = x.narrow(axis, 1, x.shape[axis] - 1)
        torch.maximum(rest, before, out=rest)
    return x.contiguous(memory_format=LAST)
