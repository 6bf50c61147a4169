"""How the network answers to size on drawings: `python -m model_store.anatomy.response RUN`.

Two figures per structure, from every label map as it is, drawn once, and drawn again smaller and larger:
slope: true volume per found volume over the maps (1: sizes are neither stretched nor drawn to the middle).
response: share of a known change that is found. No person's scan takes part, so what is chosen here is not
chosen on the scans that judge.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from imaging.hemisphere import Structure
from model_store.anatomy.deformation import Geometry, unmoved
from model_store.anatomy.export import finished
from model_store.anatomy.generator import pair
from model_store.anatomy.label_maps import GROWING, Source, load_sources
from model_store.anatomy.network import AnatomyNet, from_grey

CHANGE = -0.5
"""mm by which surfaces move inward."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Response:
    """slope, correlation: of true on found volumes over maps. ratio: found over true. response: see above."""

    slope: float
    correlation: float
    ratio: float
    response: float


def responses(model: AnatomyNet, sources: list[Source]) -> dict[Structure, Response]:
    """For the structures that can be grown."""
    plain = np.array([_volumes(model, unmoved(one)) for one in sources])
    out = {}
    for n, value in enumerate(GROWING):
        growth = np.zeros(3)
        growth[n] = CHANGE
        a, b, c = (float(one) for one in growth)
        shrunk = np.array([_volumes(model, replace(unmoved(one), growth=(a, b, c))) for one in sources])
        out[Structure(value)] = _response(plain[:, :, value], shrunk[:, :, value])
    return out


def _response(plain: Values, shrunk: Values) -> Response:
    """plain, shrunk: (maps, 2) true and found volumes."""
    true, found = plain.T
    change_true, change_found = np.log(shrunk / plain).T
    return Response(
        float(np.polyfit(found, true, 1)[0]),
        float(np.corrcoef(true, found)[0, 1]),
        float(found.mean() / true.mean()),
        float(change_found.sum() / change_true.sum()),
    )


def _volumes(model: AnatomyNet, geometry: Geometry, seed: int = 5) -> Values:
    """(2, 5) true and found sums; the same seed draws the same picture of another size."""
    picture, shares = pair(geometry, np.random.default_rng(seed))
    x = from_grey(torch.from_numpy(picture))[None, None]
    x = x.contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        p = torch.softmax(model(x).float(), 1)[0]
    return np.stack([shares.sum((1, 2, 3)), p.sum((1, 2, 3)).numpy()]).astype(np.float64)


def lines(found: dict[Structure, Response]) -> Iterator[str]:
    """One line per structure."""
    for one, r in found.items():
        yield (
            f"{one.name.lower():18s} slope {r.slope:.3f}  r {r.correlation:.3f}  "
            f"ratio {r.ratio:.3f}  response {r.response:.3f}"
        )


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = responses(finished(chosen.run), load_sources(chosen.run / "sources"))
    sys.stdout.write("\n".join(lines(found)) + "\n")


if __name__ == "__main__":
    main()
