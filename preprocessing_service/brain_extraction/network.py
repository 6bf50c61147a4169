"""deepbet's networks, evaluated with their own weights at a third of the time their TorchScript takes.

A residual encoder and a light decoder (LinkNet) with instance norms. On one thread torch sends 3-D
convolutions to its slow path; here they go to oneDNN in channels-last order. Transposed convolutions of
stride 2 become one 2 x 2 x 2 convolution whose channels are shuffled into space, the last layer one matrix
product, and of the two softmax outputs only their difference is computed. Equal to the TorchScript
within 0.005 (tested). The layers with the most cells go through in slabs (`slabs.py`).
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

from preprocessing_service.allocation import give_memory_back, keep_memory
from preprocessing_service.assets import network_file
from preprocessing_service.brain_extraction.activations import eight_apart, norm
from preprocessing_service.brain_extraction.slabs import convolution, doubled, entered, in_place

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
    """Brain probability of a whole field of view: (128, 128, 128) float32, which the answer overwrites."""
    return model("coarse").probability(cells)


def fine_network(cells: Floats) -> Floats:
    """Brain probability of a brain and a tenth of its size around it: (n, n, n) float32, overwritten."""
    network = model("fine")
    give_memory_back()  # three times the coarse one's activations, none of which would fit into what was kept
    probability = network.probability(cells)
    give_memory_back()
    return probability


class BrainNet:
    """Three-dimensional LinkNet over the weights of deepbet's state dictionary."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._plain = {
            name.removesuffix(".weight"): _ordered(w) for name, w in weights.items() if w.ndim == 5
        }
        self._first = self._plain.pop("init.0")
        names = ("up0.tp_conv.0", "up1.tp_conv.0", "up2.tp_conv.0", "tp_conv1.0")
        self._doubling = {name: _shuffled(weights[f"{name}.weight"]) for name in names}
        # Stride 1 transposed is an ordinary convolution with the kernel turned round.
        turned = weights["up3.tp_conv.0.weight"].transpose(0, 1).flip(2, 3, 4)
        self._plain["up3.tp_conv.0"] = _ordered(turned)
        last, bias = weights["tp_conv2.weight"], weights["tp_conv2.bias"]
        self._last = (last[:, 1] - last[:, 0]).reshape(len(last), 8).contiguous()
        self._last_bias = float(bias[1] - bias[0])

    def probability(self, cells: Floats) -> Floats:
        """(n, n, n) float32 standardised intensities become the probability of brain; n a multiple of 32."""
        with torch.inference_mode():
            skips = self._encoded(torch.from_numpy(cells))
            # Eight channels of half the edge fill what the input filled, and so does the answer.
            self._finish(self._decoded(skips, torch.from_numpy(cells.reshape(-1))), cells)
        return cells

    def _encoded(self, x: Tensor) -> list[Tensor]:
        skips = [entered(x, self._first)]
        for depth in range(4):
            skips.append(self._down(skips[-1], depth))
        return skips

    def _decoded(self, skips: list[Tensor], memory: Tensor) -> Tensor:
        x = skips.pop()
        for height in range(4):
            x = self._up(x, height).add_(skips.pop())
        x = doubled(x, self._doubling["tp_conv1.0"], memory)
        return _norm(in_place(x, self._plain["conv.0"]), rectified=True)

    def _conv(self, x: Tensor, name: str, stride: int = 1, *, rectified: bool = True) -> Tensor:
        return _norm(_convolve(x, self._plain[name], stride), rectified=rectified)

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
        y = doubled(y, self._doubling[at]) if at in self._doubling else self._conv(y, at)
        return self._conv(y, f"up{height}.conv2.0")

    def _finish(self, x: Tensor, out: Floats) -> None:
        # Kernel and stride 2: each voxel makes its own eight, so the layer is one matrix product. Some planes
        # at a time, since `out` lies over x: a plane's eight channels are what its two planes of output are.
        cells = x[0].permute(1, 2, 3, 0)
        for begin in range(0, len(cells), PLANES):
            y = cells[begin : begin + PLANES] @ self._last
            y = torch.sigmoid_(y.add_(self._last_bias))
            eight_apart(y.numpy(), out[2 * begin : 2 * (begin + PLANES)])


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
    edge = weight.shape[2] // 2
    return convolution(x, weight, (edge, edge, edge), stride)


def _norm(y: Tensor, *, rectified: bool) -> Tensor:
    y = y.contiguous(memory_format=LAST)
    norm(y.permute(0, 2, 3, 4, 1).numpy().reshape(-1), y.shape[1], rectified=rectified)
    return y
