"""The shipped trunk in the 8 bits of PT2E, through inductor and AOTInductor, beside eager mode's and float32.

Run as `python -m bench.quantization --data $HIPPOCAMP_DATA`. torchao is not among our packages, since nothing
that ships needs it; put it into a folder of its own (`pip install --no-deps --target FOLDER torchao==0.18.0`)
and name that in PYTHONPATH. A C++ compiler is needed too. Rates are CPU time of one core, turn by turn.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bench.machine import describe
from model_store.evaluation.agreement import compare, float_twin
from model_store.evaluation.throughput import ENGINES, in_turns, int8_on
from model_store.release.build import calibration_batches, origin_of, released_seed, source_digest
from model_store.release.digest import RELEASE
from model_store.served.pooling import Pooling
from model_store.served.shapes import CHUNK, HEIGHT, NETWORK, POOLING, WIDTH
from model_store.training.cohort import Cohort, data_folder, read_cohort, weights_file
from model_store.training.features import Network, cohort_features
from model_store.training.network import SliceNetwork, correct_mean, freeze

T = TypeVar("T")
TURNS = 9
EAGER, AS_IT_IS, COMPILED, AOT = "eager x86", "PT2E as it is", "PT2E inductor", "PT2E AOTInductor"


@dataclass(frozen=True)
class Made:
    """A network, what making it took, and what it weighs on disk (0: nothing is written)."""

    network: Network
    seconds: float = 0.0
    size_bytes: int = 0


def converted(twin: SliceNetwork, batches: Sequence[Tensor]) -> SliceNetwork:
    """As `quantize` of model_store.training.network: extremes as ranges, all 8 bits, mean error off."""
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    config = get_default_x86_inductor_quantization_config()
    extremes = replace(
        config.input_activation, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12)
    )
    config = replace(config, input_activation=extremes, output_activation=extremes)
    network = copy.deepcopy(twin)
    pictures = torch.zeros((2, 3, HEIGHT // 2, WIDTH // 2)).contiguous(memory_format=torch.channels_last)
    trunk = torch.export.export(network.trunk, (pictures,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    network.trunk = prepare_pt2e(trunk.module(), X86InductorQuantizer().set_global(config))
    with torch.no_grad():
        for batch in batches:
            network(batch)
        network.trunk = convert_pt2e(network.trunk)
    correct_mean(network, twin, batches)
    return network


def packaged(network: SliceNetwork, example: Tensor, folder: Path) -> Path:
    """The whole network as a package with machine code in it, for any number of slices."""
    with torch.no_grad():
        whole = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        return Path(torch._inductor.aoti_compile_and_package(whole, package_path=str(folder / "network.pt2")))


def compiled(network: SliceNetwork, example: Tensor) -> Network:
    """By `torch.compile`, called once so that it is."""
    found: Network = torch.compile(network, dynamic=True)
    with torch.no_grad():
        found(example)
    return found


def timed(make: Callable[[], T]) -> tuple[T, float]:
    """What it makes, and the CPU seconds that took, those of the C++ compiler included."""
    before = os.times()
    made, after = make(), os.times()
    return made, sum(after[:4]) - sum(before[:4])


def networks(twin: SliceNetwork, batches: Sequence[Tensor], folder: Path) -> dict[str, Made]:
    """Every form, ready to run; the PT2E ones from the same converted network."""
    example = batches[0][:CHUNK]
    last: nn.Module = twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pt2e, seconds = timed(lambda: converted(twin, batches))
    print(f"PT2E converted in {seconds:.0f} s", flush=True)
    package, packing = timed(lambda: packaged(pt2e, example, folder))
    print(f"AOTInductor package in {packing:.0f} s", flush=True)
    inductor, compiling = timed(lambda: compiled(pt2e, example))
    shipped = (RELEASE / NETWORK).stat().st_size
    return {
        "float32 frozen": Made(freeze(last, example)),  # type: ignore[arg-type]
        **{f"eager {engine}": Made(int8_on(engine, RELEASE), size_bytes=shipped) for engine in ENGINES},
        AS_IT_IS: Made(pt2e, seconds),
        COMPILED: Made(inductor, compiling),
        AOT: Made(torch._inductor.aoti_load_package(str(package)), packing, package.stat().st_size),
    }


def agreements(made: dict[str, Made], cohort: Cohort, twin: SliceNetwork, origin: str) -> dict[str, str]:
    """As `model_store.evaluation.agreement` compares, over all subjects that did not set the ranges."""
    pooling = Pooling.load(RELEASE / POOLING)

    def volumes(network: Network, name: str) -> np.ndarray:
        seen = cohort_features(network, cohort, key=f"{name} {source_digest()} {origin}")
        return pooling.volume_features(seen).astype(np.float64)

    floats, told = volumes(twin, "float"), {}
    for name in (EAGER, COMPILED, AOT):
        found = compare(cohort, floats, volumes(made[name].network, f"bench {name}"), release=RELEASE)
        told[name] = f"{found.difference:.4f}  {found.equal:.1%}  {found.auc_float:.3f}/{found.auc_int8:.3f}"
    return told


def main() -> None:
    """Parse the command line and print one line a form."""
    parser = argparse.ArgumentParser(prog="bench.quantization", description=__doc__)
    parser.add_argument("--data", help="folder that holds oasis1/ (default: $HIPPOCAMP_DATA)")
    parser.add_argument("--weights", help="the ImageNet weights the release was made from")
    parser.add_argument("--subjects", type=int, default=24, help="how many set the ranges")
    parser.add_argument("--exact", action="store_true", help="compare answers too: minutes more")
    chosen = parser.parse_args()
    try:
        import torchao  # noqa: F401
    except ImportError:
        sys.exit("torchao is not here: pip install --no-deps --target FOLDER torchao==0.18.0, and PYTHONPATH")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch._inductor.config.freezing = True
    torch._inductor.config.compile_threads = 1
    folder = data_folder(chosen.data)
    cohort, weights = read_cohort(folder), weights_file(folder, chosen.weights)
    twin = float_twin(RELEASE, weights)
    batches = calibration_batches(cohort, released_seed(RELEASE))[: chosen.subjects]
    print(describe())
    with tempfile.TemporaryDirectory() as scratch:
        made = networks(twin, batches, Path(scratch))
        speed = in_turns({name: one.network for name, one in made.items()}, batches[0], TURNS)
        exact = agreements(made, cohort, twin, origin_of(weights)) if chosen.exact else {}
    for name, one in made.items():
        size = f"{one.size_bytes / 1e6:5.1f} MB" if one.size_bytes else "        "
        line = f"{name:18s} {speed[name]:6.1f} slices/s  made in {one.seconds:4.0f} s  {size}"
        print(f"{line}  {exact.get(name, '')}")


if __name__ == "__main__":
    main()
