"""Training pairs drawn from label maps: pictures and class shares, the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.utils.data import IterableDataset

from imaging.hemisphere import SHAPE
from model_store.anatomy.deformation import Geometry, draw_geometry, read_geometry, revisited
from model_store.anatomy.drawing import draw, draw_levels
from model_store.anatomy.imperfection import imperfect
from model_store.anatomy.label_maps import Source

Floats = npt.NDArray[np.float32]
Corner = tuple[int, int, int]
TEMPORAL = (56, 80, 48)
"""Voxels of the smaller box around the medial temporal lobe, in which most of the difficult edges lie."""

WHOLE_EVERY = 3
"""One step of so many sees a whole hemisphere, the others the temporal lobe of one anatomy on two days."""


@dataclass(frozen=True)
class TrainingBatch:
    """pictures: (n, x, y, z) grey levels. shares: (n, 5, x, y, z). corner: where in the box they begin."""

    pictures: Floats
    shares: Floats
    corner: Corner


class Generator(IterableDataset[TrainingBatch]):
    """Batches of the steps from `first` on; every step has its own random numbers, so training resumes."""

    def __init__(self, sources: list[Source], *, seed: int = 0, first: int = 0, whole: bool = False) -> None:
        self.sources, self.seed, self.first, self.whole = sources, seed, first, whole

    def __iter__(self) -> Iterator[TrainingBatch]:
        step = self.first
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> TrainingBatch:
        """What the network sees at this step."""
        rng = np.random.default_rng((self.seed, step))
        geometry = draw_geometry(self.sources[rng.integers(len(self.sources))], rng)
        if self.whole or step % WHOLE_EVERY == 0:
            return self._drawn([geometry], SHAPE, (0, 0, 0), rng)
        corner = (0, int(rng.integers(1, 6)) * 8, int(rng.integers(0, 3)) * 8)
        return self._drawn([geometry, revisited(geometry, rng)], TEMPORAL, corner, rng)

    def _drawn(
        self, geometries: list[Geometry], shape: Corner, corner: Corner, rng: np.random.Generator
    ) -> TrainingBatch:
        pairs = [pair(geometry, rng, shape=shape, corner=corner) for geometry in geometries]
        return TrainingBatch(np.stack([p for p, _ in pairs]), np.stack([s for _, s in pairs]), corner)


def pair(
    geometry: Geometry, rng: np.random.Generator, *, shape: Corner = SHAPE, corner: Corner = (0, 0, 0)
) -> tuple[Floats, Floats]:
    """(picture, class shares) of one anatomy: (x, y, z) float32 grey levels and (5, x, y, z)."""
    levels = draw_levels(rng)
    read = read_geometry(geometry, levels, shape=shape, corner=corner)
    picture, inside = draw(read, rng)
    return imperfect(picture, inside, rng), read.shares
