"""deepbet's TorchScript networks, loaded once a process and run on one thread."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from preprocessing_service.assets import network_file

Floats = npt.NDArray[np.float32]


@cache
def _module(name: str) -> torch.jit.ScriptModule:
    # One process per core is how this service scales: more threads in each only wait for each other.
    torch.set_num_threads(1)
    loaded = torch.jit.load(str(network_file(name)), map_location="cpu").eval()
    return torch.jit.freeze(loaded)


def coarse_network(cells: Floats) -> Floats:
    """Brain probability of a whole field of view: (128, 128, 128) float32 in and out."""
    with torch.inference_mode():
        out = _module("coarse")(torch.from_numpy(cells)[None, None])
    return np.asarray(out[0, 1].numpy(), dtype=np.float32)
