"""The whole path from a prepared head to its measurement; read this file first.

1. Both hemispheres are cut from the input into their boxes (boxes.py).
2. The network gives every voxel the probability of each structure (network.py).
3. Of each structure its largest component stays, holes filled (components.py).
4. Sums of probability are volumes (volumes.py), brought to the manual scale (calibration.py).
5. Outlines hold exactly those volumes (outlines.py), flags say what to doubt (flags.py).
Percentiles need age and sex and are read afterwards (norms.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imaging.hemisphere import Structure
from preprocessing_service.anatomy.boxes import SIDES, Boxes, cut_boxes, into_space
from preprocessing_service.anatomy.calibration import Line, load_calibration
from preprocessing_service.anatomy.components import Kept, keep_structure
from preprocessing_service.anatomy.flags import Flag, clipped, implausible, low_resolution
from preprocessing_service.anatomy.network import AnatomyNetwork, anatomy_network
from preprocessing_service.anatomy.outlines import on_grid, outlined
from preprocessing_service.anatomy.volumes import Millilitres, calibrated, summed
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.volume import Matrix

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Lines = Mapping[Structure, Line]


@dataclass(frozen=True)
class Found:
    """What the network found in one head: (structure, side) -> probability in the box, cleaned."""

    kept: dict[tuple[Structure, int], Kept]
    boxes: Boxes

    @property
    def probabilities(self) -> dict[tuple[Structure, int], Floats]:
        """(structure, side) -> (x, y, z)."""
        return {key: one.probability for key, one in self.kept.items()}

    def measured(self) -> Millilitres:
        """ml before calibration."""
        return summed(self.probabilities, self.boxes.voxel_ml)

    def labels(self, ml: Millilitres) -> Bytes:
        """The label map in the 1 mm brain space; its outlines hold the volumes `ml`."""
        sides = [outlined(self.probabilities, ml, side, self.boxes.voxel_ml) for side in SIDES]
        return into_space(np.stack([labels for labels, _ in sides]), np.stack([sure for _, sure in sides]))

    def labels_on(self, ml: Millilitres, *, affine: Matrix, shape: tuple[int, int, int]) -> Bytes:
        """The same on the grid of the input."""
        return on_grid(self.probabilities, ml, self.boxes.to_world, affine=affine, shape=shape)


@dataclass(frozen=True)
class Measurement:
    """ml: calibrated. measured: as summed. spread: one standard deviation of `ml`. labels: brain space."""

    ml: Millilitres
    measured: Millilitres
    spread: Millilitres
    labels: Bytes
    flags: tuple[Flag, ...]


def measure(
    head: Prepared, *, network: AnatomyNetwork | None = None, lines: Lines | None = None
) -> Measurement:
    """Measure one prepared head with the shipped network and calibration, or with those given."""
    lines = lines or load_calibration()
    found = find(cut_boxes(head), network or anatomy_network())
    measured = found.measured()
    ml = calibrated(measured, lines)
    spread = {(one, side): lines[one].spread(value) for (one, side), value in ml.items()}
    return Measurement(ml, measured, spread, found.labels(ml), flags_of(head, found, ml))


def find(boxes: Boxes, network: AnatomyNetwork) -> Found:
    """Run the network on both sides and keep what belongs to each structure."""
    kept: dict[tuple[Structure, int], Kept] = {}
    for side in SIDES:
        probabilities = network.probability(boxes.grey[side])
        kept |= {(one, side): keep_structure(probabilities, one) for one in Structure}
    return Found(kept, boxes)


def flags_of(head: Prepared, found: Found, ml: Millilitres) -> tuple[Flag, ...]:
    """Every flag that applies, in the order of Flag."""
    volume, hippocampus = head.volume, Structure.HIPPOCAMPUS
    hippocampi = {side: found.kept[hippocampus, side].probability for side in SIDES}
    shares = {side: found.kept[hippocampus, side].share for side in SIDES}
    checks = {
        Flag.LOW_RESOLUTION: low_resolution(volume.affine),
        Flag.CLIPPED_FIELD: clipped(found.boxes.to_world, affine=volume.affine, shape=volume.shape),
        Flag.IMPLAUSIBLE_SHAPE: implausible(ml, hippocampi, shares),
    }
    return tuple(flag for flag, raised in checks.items() if raised)
