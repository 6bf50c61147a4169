"""How features move when only the look of a head changes, so that the head of the network can ignore it.

The training slices were prepared by other tools than ours: another skull strip, darker fluid, another
sharpness. The same subjects are shown with their look changed, and the head pays for every change of
severity that a look alone brings about. No label is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from model_store.served.pooling import pooled, scaled
from model_store.served.shapes import DEEP, QUARTERS, Floats
from model_store.served.softening import softened
from model_store.training.features import Network, stack_features
from model_store.training.head import Doubles
from model_store.training.looks import LOOKS, Stack
from model_store.training.recipe import Recipe

DIRECTIONS = 96
"""Main directions of the looks' moves that are kept; the rest of them is small."""
EVERY = 2
"""Slices that are looked at: every second shows the same change at half the time."""


@dataclass(frozen=True)
class Nuisance:
    """directions (r, k), orthonormal; damping (r,), the share of a feature along each that is taken off."""

    directions: Doubles
    damping: Doubles

    def damped(self, volume: Doubles) -> Doubles:
        """(n, k) volume features, shrunk along the directions.

        Ridge on these is ridge with the further price `caution` on every squared change of severity by a
        look. The matrix is symmetric: a direction fitted on damped features, damped itself, gives the same
        on features as they come.
        """
        return np.asarray(volume - ((volume @ self.directions.T) * self.damping) @ self.directions)


def fit_nuisance(moves: Doubles, caution: float) -> Nuisance:
    """moves: (m, k), what each look did to a subject's features; caution: see `Recipe`.

    (1 + caution * move' move)^-1/2 in the span of the moves (a soft form of nuisance attribute projection,
    Solomonoff et al. 2005).
    """
    _, lengths, directions = np.linalg.svd(moves, full_matrices=False)
    damping = 1 - 1 / np.sqrt(1 + caution * lengths**2)
    return Nuisance(np.asarray(directions[:DIRECTIONS]), np.asarray(damping[:DIRECTIONS]))


def look_moves(network: Network, stacks: Iterable[Stack]) -> Doubles:
    """(subjects * looks, k) what each look does to the volume features, as `pooled`."""
    moves = []
    for stack in stacks:
        before = _seen(network, stack)
        moves += [_seen(network, look(stack)) - before for look in LOOKS.values()]
    return np.asarray(moves, dtype=np.float64)


def _seen(network: Network, stack: Stack) -> Floats:
    slices = np.repeat(stack_features(network, softened(stack[None])[0][::EVERY]), EVERY, axis=0)
    return np.asarray(pooled(slices[None])[0])


def fit_look(raw: Floats, moves: Doubles, recipe: Recipe) -> dict[str, Doubles]:
    """The scales of the network's features and of each quarter's contrast, and what looks do to them.

    Reads no label. raw: (subjects, k) volume features as `pooled` gives them; moves: see `look_moves`.
    """
    counts = np.isin(np.arange(QUARTERS), recipe.quarters).astype(float)
    contrast = np.sqrt(recipe.contrast) / _length(scaled(raw, np.array([0, *counts])))
    scales = np.array([1 / _length(raw[:, :DEEP]), *contrast * counts]) / np.sqrt(1 + recipe.contrast)
    nuisance = fit_nuisance(scaled(moves, scales), recipe.caution)
    kept = nuisance.directions.astype(np.float16)  # as it will be stored, so that all that follows fits it
    return {"scales": scales, "nuisance": kept.astype(np.float64), "damping": nuisance.damping}


def _length(rows: Floats | Doubles) -> float:
    """Root mean squared distance from the mean."""
    return float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean()))
