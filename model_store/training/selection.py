"""Choosing a recipe without the subjects that judge it: nested cross-validation by subject.

A figure of the best of many recipes on the subjects that chose it is too good. Here inner folds choose and
outer folds judge, each outer training set for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model_store.evaluation import metrics
from model_store.served.pooling import Pooling
from model_store.served.shapes import Floats
from model_store.training.head import Doubles, Labels, Truth, left_out_severity
from model_store.training.nuisance import fit_look
from model_store.training.recipe import CHOICES, SHIPPED, Recipe

INNER_REPEATS = 2


@dataclass(frozen=True)
class Candidate:
    """A recipe and the subjects' volume features (n, k) by it; no label went into them."""

    recipe: Recipe
    volume: Doubles


def in_span(volume: Doubles) -> Doubles:
    """(n, k) -> (n, n): the same subjects in the coordinates of their own span; all inner products stay.

    Ridge regression sees features by their inner products alone, and 166 numbers are fitted faster than
    thousands.
    """
    values, vectors = np.linalg.eigh(volume @ volume.T)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def score(candidate: Candidate, truth: Truth, rows: Labels) -> float:
    """AUC at age >= 60 among the rows, each subject's severity by the others; mean over repeats."""
    known, volume = truth.rows(rows), candidate.volume[rows]
    found = []
    for seed in range(INNER_REPEATS):
        severity = left_out_severity(volume, known, seed, strength=candidate.recipe.strength)
        found.append(metrics.separation(severity[known.primary], known.stages[known.primary] > 0))
    return float(np.mean(found))


class Selection:
    """Chooses a candidate for a set of training subjects, and remembers what it chose."""

    def __init__(self, candidates: Sequence[Candidate], truth: Truth) -> None:
        self._candidates, self._truth = candidates, truth
        self._chosen: dict[bytes, Candidate] = {}

    def __call__(self, rows: Labels) -> Candidate:
        """The candidate that is best among the rows; of equals the first."""
        if rows.tobytes() not in self._chosen:
            best = max(self._candidates, key=lambda candidate: score(candidate, self._truth, rows))
            self._chosen[rows.tobytes()] = best
        return self._chosen[rows.tobytes()]

    @property
    def popularity(self) -> list[tuple[Recipe, int]]:
        """How often each recipe was chosen, the most frequent first."""
        return Counter(candidate.recipe for candidate in self._chosen.values()).most_common()


def candidates(raw: Floats, moves: Doubles) -> list[Candidate]:
    """Every choice. raw: (n, k) volume features, unscaled and undamped; moves: (m, k), see `look_moves`."""
    spans: dict[Recipe, Doubles] = {}
    for recipe in CHOICES:
        kind = replace(recipe, strength=SHIPPED.strength)
        if kind not in spans:
            pooling = Pooling(fit_look(raw, moves, recipe))
            spans[kind] = in_span(pooling.damped(pooling.scaled(raw)).astype(np.float64))
    return [Candidate(recipe, spans[replace(recipe, strength=SHIPPED.strength)]) for recipe in CHOICES]
