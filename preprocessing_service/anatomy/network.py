"""The anatomy network as it is run: norms folded in, channels last, bfloat16 where that is fast.

The weights file is made by `model_store.anatomy.export` and lies beside this module; its arrays are named
after the network's layers. Nothing of the training code is needed to run it, and a test holds both equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool3d

from preprocessing_service.allocation import keep_memory

Floats = npt.NDArray[np.float32]
WEIGHTS = Path(__file__).with_name("weights.npz")
LAST = torch.channels_last_3d
LEVELS = 3
"""Halvings between 1 mm and 8 mm."""


class AnatomyNetwork:
    """Grey boxes in, probabilities out. weights: layer name -> array, as exported."""

    def __init__(self, weights: Mapping[str, npt.NDArray[np.float16]], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._kernels: dict[str, Tensor] = {}
        self._biases: dict[str, Tensor] = {}
        for name, array in weights.items():
            layer, _, kind = name.rpartition(".")
            value = torch.from_numpy(array.astype(np.float32)).to(dtype)
            if kind == "weight":
                self._kernels[layer] = value.contiguous(memory_format=LAST)
            else:
                self._biases[layer] = value

    def probability(self, grey: npt.NDArray[np.uint8]) -> Floats:
        """(x, y, z) uint8, 0 outside the brain -> (5, x, y, z) float32 that sums to 1."""
        with torch.inference_mode():
            x = (torch.from_numpy(np.ascontiguousarray(grey)).float() / 100 - 1.2).to(self.dtype)
            logits = self._decoded(self._encoded(x[None, None].contiguous(memory_format=LAST)))
            return torch.softmax(logits[0].float(), 0).contiguous().numpy()

    def _encoded(self, x: Tensor) -> list[Tensor]:
        """Features at 1, 2, 4 and 8 mm."""
        levels = []
        for level in range(LEVELS):
            x = self._block(self._block(x, f"down.{level}.0"), f"down.{level}.1")
            levels.append(x)
            x = max_pool3d(x, 2)
        x = torch.cat([x, places(x.shape[2:]).to(x)], 1)
        return [*levels, self._block(self._block(x, "bottom.0"), "bottom.1")]

    def _decoded(self, levels: list[Tensor]) -> Tensor:
        x = levels.pop()
        for level in reversed(range(LEVELS)):
            x = interpolate(self._convolve(x, f"narrow.{level}"), scale_factor=2, mode="nearest")
            x = self._block(torch.cat([x, levels.pop()], 1), f"up.{level}")
        return self._convolve(x, "last")

    def _block(self, x: Tensor, layer: str) -> Tensor:
        return self._convolve(x, layer).relu_()

    def _convolve(self, x: Tensor, layer: str) -> Tensor:
        kernel = self._kernels[layer]
        edge = [kernel.shape[2] // 2] * 3
        if not torch.backends.mkldnn.is_available():
            return torch.nn.functional.conv3d(x, kernel, self._biases[layer], padding=edge[0])
        return torch.mkldnn_convolution(x, kernel, self._biases[layer], edge, [1] * 3, [1] * 3, 1)


def places(shape: torch.Size) -> Tensor:
    """(1, 3, *shape): where each cell of 8 mm lies in the box, about -1 to 1."""
    axes = [torch.arange(n) * 2.0**LEVELS / 64 - 1 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def fast_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies it in hardware, else float32."""
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


@cache
def anatomy_network(dtype: torch.dtype | None = None) -> AnatomyNetwork:
    """The shipped network of this process, loaded on first use; FileNotFoundError without its file."""
    torch.set_num_threads(1)  # one process per core is how this service scales
    keep_memory()
    return AnatomyNetwork(read_weights(WEIGHTS), dtype or fast_dtype())


def read_weights(path: Path) -> dict[str, npt.NDArray[np.float16]]:
    """Layer name -> array."""
    with np.load(path, allow_pickle=False) as parts:
        return {name: parts[name] for name in parts.files}


@cache
def weights_digest() -> str:
    """SHA-256 of the shipped weights file: the anatomy model's version."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
