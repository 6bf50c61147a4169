"""Slices a second of the frozen float twin and the int8 network, turn by turn in one process on one core.

`python -m model_store.evaluation.throughput --data $HIPPOCAMP_DATA`. int8 on both of PyTorch's engines.
CPU time, median of several turns: a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np
import torch

from model_store.evaluation.agreement import float_twin
from model_store.release.digest import RELEASE
from model_store.served.shapes import CHUNK, HEIGHT, NETWORK, WIDTH
from model_store.training.cohort import data_folder, weights_file
from model_store.training.features import Network
from model_store.training.network import freeze

TURNS = 7
ENGINES = ("onednn", "x86")
FLOAT, SHIPPED_INT8 = "float32 frozen", "int8 x86"


def rate(network: Network, slices: torch.Tensor) -> float:
    """Slices per CPU second of one pass."""
    started = time.process_time()
    with torch.inference_mode():
        network(slices)
    return len(slices) / (time.process_time() - started)


def int8_on(engine: str, release: Path) -> Network:
    """The release's network, its weights packed for the engine."""
    torch.backends.quantized.engine = engine
    network: Network = torch.jit.load(str(release / NETWORK))
    return network


def rates(weights: Path | None, release: Path = RELEASE) -> dict[str, float]:
    """Slices a CPU second of every network on one core; `weights`: those the release was made from."""
    threads, engine = torch.get_num_threads(), torch.backends.quantized.engine
    torch.set_num_threads(1)
    noise = np.random.default_rng(0).integers(0, 255, (CHUNK, HEIGHT, WIDTH), dtype=np.uint8)
    slices = torch.from_numpy(noise)
    twin = float_twin(release, weights).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks: dict[str, Network] = {
        FLOAT: freeze(twin, slices),
        **{f"int8 {name}": int8_on(name, release) for name in ENGINES},
    }
    found = in_turns(networks, slices, TURNS)
    torch.set_num_threads(threads)
    torch.backends.quantized.engine = engine
    return found


def in_turns(networks: Mapping[str, Network], slices: torch.Tensor, turns: int) -> dict[str, float]:
    """Slices a CPU second in chunks as served, the median of turns that the networks take; two warm up."""
    found: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(turns):
        for name, network in networks.items():
            found[name].append(median(rate(network, chunk) for chunk in slices.split(CHUNK)))
    return {name: median(rates[2:]) for name, rates in found.items()}


def main() -> None:
    """Parse the command line and print one line a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder beside which weights/ lies (default: $HIPPOCAMP_DATA)")
    parser.add_argument("--weights", help="the ImageNet weights the release was made from")
    chosen = parser.parse_args()
    found = rates(weights_file(data_folder(chosen.data), chosen.weights))
    for name, speed in found.items():
        sys.stdout.write(f"{name:16s} {speed:6.1f} slices/s\n")
    sys.stdout.write(f"x86 to float32   {found[SHIPPED_INT8] / found[FLOAT]:6.2f}\n")


if __name__ == "__main__":
    main()
