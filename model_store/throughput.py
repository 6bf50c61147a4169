"""Slices a second of the frozen float twin and the int8 network, turn by turn in one process on one core.

Run as `python -m model_store.throughput --data $HIPPOCAMP_DATA`. int8 on both of PyTorch's engines.
CPU time, median of several turns: a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median

import numpy as np
import torch

from model_store.agreement import float_twin
from model_store.cohort import data_folder, weights_file
from model_store.digest import RELEASE
from model_store.features import Network
from model_store.network import freeze
from model_store.served.shapes import CHUNK, HEIGHT, NETWORK, WIDTH

TURNS = 7
ENGINES = ("onednn", "x86")


def rate(network: Network, slices: torch.Tensor) -> float:
    """Slices per CPU second of one pass."""
    started = time.process_time()
    with torch.inference_mode():
        network(slices)
    return len(slices) / (time.process_time() - started)


def int8_on(engine: str) -> Network:
    """The shipped network, its weights packed for the engine."""
    torch.backends.quantized.engine = engine
    network: Network = torch.jit.load(str(RELEASE / NETWORK))
    return network


def main() -> None:
    """Parse the command line and print one line a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder beside which weights/ lies (default: $HIPPOCAMP_DATA)")
    parser.add_argument("--weights", help="the ImageNet weights the release was made from")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    noise = np.random.default_rng(0).integers(0, 255, (CHUNK, HEIGHT, WIDTH), dtype=np.uint8)
    slices = torch.from_numpy(noise)
    twin = float_twin(RELEASE, weights_file(data_folder(chosen.data), chosen.weights))
    networks: dict[str, Network] = {
        "float32 frozen": freeze(twin.to(memory_format=torch.channels_last), slices),  # type: ignore[call-overload]
        **{f"int8 {engine}": int8_on(engine) for engine in ENGINES},
    }
    found: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(TURNS):
        for name, network in networks.items():
            found[name].append(rate(network, slices))
    for name, rates in found.items():
        sys.stdout.write(f"{name:16s} {median(rates[2:]):6.1f} slices/s\n")
    ratio = median(found["int8 x86"][2:]) / median(found["float32 frozen"][2:])
    sys.stdout.write(f"x86 to float32   {ratio:6.2f}\n")


if __name__ == "__main__":
    main()
