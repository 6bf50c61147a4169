"""A finished training -> the weights file that the service runs: `python -m model_store.anatomy.export RUN`.

The averaged weights, norms folded into the convolutions, float16. The file lies beside the code that runs it
(preprocessing_service/anatomy/weights.npz); its SHA-256 is the model's version and stands in CARD.md.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model_store.anatomy.label_maps import load_sources
from model_store.anatomy.network import AnatomyNet, Block
from model_store.anatomy.train import CHECKPOINT, State, settle

SHIPPED = Path(__file__).parents[2] / "preprocessing_service" / "anatomy" / "weights.npz"
Halves = npt.NDArray[np.float16]


def finished(run: Path) -> AnatomyNet:
    """The averaged network of a run, its norms settled on whole hemispheres, in evaluation mode."""
    state = State.begin(0)
    state.restore(run / CHECKPOINT)
    state.model.load_state_dict(state.averaged, strict=False)
    if not state.frozen:  # stopped early
        settle(state.model, load_sources(run / "sources"))
    return state.model.eval()


def folded(model: AnatomyNet) -> dict[str, Halves]:
    """Layer name -> weight and bias in float16, every norm folded into its convolution."""
    out: dict[str, Halves] = {}
    for name, module in model.named_modules():
        if isinstance(module, Block):
            weight, bias = _folded(module)
        elif isinstance(module, torch.nn.Conv3d) and module.bias is not None:
            weight, bias = module.weight, module.bias
        else:
            continue
        out[f"{name}.weight"] = weight.detach().half().numpy()
        out[f"{name}.bias"] = bias.detach().half().numpy()
    return out


def _folded(block: Block) -> tuple[Tensor, Tensor]:
    convolution: Any = block[0]
    norm: Any = block[1]
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return convolution.weight * gain[:, None, None, None, None], norm.bias - norm.running_mean * gain


def write_weights(arrays: dict[str, Halves], path: Path) -> str:
    """An .npz without time stamps, so that the same weights give the same bytes; returns its SHA-256."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, array in sorted(arrays.items()):
            with archive.open(ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    chosen = parser.parse_args(arguments)
    digest = write_weights(folded(finished(chosen.run)), chosen.out)
    size = chosen.out.stat().st_size / 1e6
    sys.stdout.write(f"{chosen.out} {size:.2f} MB sha256:{digest}\n")


if __name__ == "__main__":
    main()
