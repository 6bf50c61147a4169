"""The tissue levels of the training slices: the computation behind `normalise.TRAINING_LEVELS`.

`python -m preprocessing_service.derivations.intensity` reads HIPPOCAMP_DATA: for each of the 166 subjects the
mixture of `steps.bias` runs on the slab (no field: the slices are corrected already), and the levels are
averaged. Then the histograms of prepared heads are compared with the training slices', before and after
`normalise`, by the earth mover's distance between grey values of the brain.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imaging.grid import GRID_TO_MNI
from preprocessing_service import pipeline
from preprocessing_service.derivations.grid import HEADS, data_folder, read_stack
from preprocessing_service.sampling import sample
from preprocessing_service.steps import resample
from preprocessing_service.steps.bias import FLOOR, mixture
from preprocessing_service.template import load_template

Array = npt.NDArray[Any]
DARK = 5
"""Grey values up to this are JPG noise around the brain."""


def levels(stack: Array) -> Array:
    """(3,) grey values of CSF, grey and white matter in one (32, 208, 176) stack."""
    priors = load_template().priors
    turned = np.ascontiguousarray(stack.transpose(2, 1, 0), dtype=np.float32)
    to_voxel: Array = np.linalg.inv(GRID_TO_MNI)
    unit = float(np.median(turned[turned > DARK]))
    seen = sample(turned, to_voxel[:3], priors.points) / np.float32(unit)
    lit = seen > FLOOR
    constant = np.ones((np.count_nonzero(lit), 1), np.float32)
    return np.asarray(np.exp(mixture(np.log(seen[lit]), priors.shares[lit], constant).means) * unit)


def histogram(stack: Array) -> Array:
    """(256,) shares of the brain's grey values."""
    counts = np.bincount(np.clip(np.rint(stack[stack > DARK]), 0, 255).astype(int), minlength=256)
    return np.asarray(counts / counts.sum())


def distance(one: Array, other: Array) -> float:
    """Earth mover's distance between two histograms, grey values."""
    return float(np.abs(np.cumsum(one - other)).sum())


def before_and_after(head: Path, training: Array) -> tuple[float, float]:
    """Distance from the training slices: stretched to their 99.9th percentile only, and normalised."""
    stack, found = pipeline.examine(head)
    raw = resample.resample(found.volume, found.brain, found.alignment, found.tissues)
    top = float(np.searchsorted(np.cumsum(training), 0.999))
    stretched = raw * top / np.percentile(raw[raw > 0], 99.9)
    return distance(histogram(stretched), training), distance(histogram(stack.slices), training)


def main() -> None:
    """Print levels, the spread between subjects, and the distances of the real heads."""
    folder = data_folder()
    stacks = [read_stack(subject) for subject in sorted((folder / "slices").iterdir())]
    found = np.array([levels(stack) for stack in stacks])
    _say(f"levels {np.round(found.mean(0), 1).tolist()}, spread {np.round(found.std(0), 1).tolist()}")
    each = np.array([histogram(stack) for stack in stacks])
    own = np.mean([distance(one, each.mean(0)) for one in each])
    _say(f"training subjects lie {own:.1f} grey values from their mean histogram")
    for name in HEADS:
        before, after = before_and_after(folder.parent / "volumes" / name, each.mean(0))
        _say(f"{name}: {before:.1f} before, {after:.1f} after")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
