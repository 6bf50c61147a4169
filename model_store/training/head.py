"""The head: a severity direction learnt from several noisy signs of disease, and the stages along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedKFold

from model_store.training.recipe import SHIPPED

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

STRENGTH = SHIPPED.strength
PRIMARY_AGE = 60
"""Many CDR 0 subjects are younger, no demented one is under 62: figures count from this age on."""
_SIGNS = {"mmse": -1.0, "nwbv": -1.0, "age": -1.0}
"""Weights of the signs beside CDR: a low MMSE, a small brain, both for the age; all four count alike."""


@dataclass(frozen=True)
class Truth:
    """What is known of n subjects: stages (n,) in 0, 1, 2; mmse, nwbv, age (n,), NaN where unknown.

    Only stages are asked of the model; the rest is read while training and never at inference.
    """

    stages: Labels
    mmse: Doubles
    nwbv: Doubles
    age: Doubles

    def rows(self, chosen: npt.NDArray[np.intp] | Labels) -> Truth:
        """The same for some subjects, in that order."""
        return Truth(self.stages[chosen], self.mmse[chosen], self.nwbv[chosen], self.age[chosen])

    @property
    def primary(self) -> npt.NDArray[np.bool_]:
        """(n,) known age of at least 60."""
        return np.asarray(self.age >= PRIMARY_AGE)

    @property
    def severity(self) -> Doubles:
        """(n,) what the direction is fitted to: CDR with the signs that go along with it, each standardised.

        CDR comes in three steps; MMSE and brain volume grade the subjects inside a step (learning with
        privileged information, Vapnik & Vashist 2009). Unknown signs count as average.
        """
        total = _standard(np.sqrt(self.stages))
        for name, weight in _SIGNS.items():
            total = total + weight * _standard(getattr(self, name))
        return total


@dataclass(frozen=True)
class Head:
    """severity = features @ direction + offset; logits = severity * slopes + steps.

    direction (k,); slopes and steps (3,), in the order CDR 0, 0.5, >=1.
    """

    direction: Doubles
    offset: float
    slopes: Doubles
    steps: Doubles

    @property
    def weight(self) -> Doubles:
        """(3, k): logits = features @ weight.T + bias."""
        return np.outer(self.slopes, self.direction)

    @property
    def bias(self) -> Doubles:
        """(3,)"""
        return self.slopes * self.offset + self.steps

    def severity(self, features: Doubles) -> Doubles:
        """(n, k) -> (n,)."""
        return np.asarray(features @ self.direction + self.offset)

    def logits(self, features: Doubles) -> Doubles:
        """(n, k) -> (n, 3)."""
        return np.outer(self.severity(features), self.slopes) + self.steps


def fit_head(features: Doubles, truth: Truth, *, strength: float = STRENGTH) -> Head:
    """Ridge regression on severity, then stages fitted on severities of subjects left out of the regression.

    features: (n, k), one row a subject. strength: of the ridge, see `Recipe`. Fitting the stages on left-out
    severities is what keeps 2,048 features of some hundred subjects from looking certain.
    """
    direction, offset = fit_direction(features, truth.severity, strength=strength)
    seen = left_out_severity(features, truth, strength=strength)
    rows = np.flatnonzero(truth.primary)
    if len(np.unique(truth.stages[rows])) < 3:
        rows = np.arange(len(seen))
    slopes, steps = fit_stages(seen[rows], truth.stages[rows])
    return Head(direction, offset, slopes, steps)


def fit_direction(
    features: Doubles, severity: Doubles, *, strength: float = STRENGTH
) -> tuple[Doubles, float]:
    """(direction (k,), offset): severity = features @ direction + offset, by ridge in the subjects' span."""
    mean = features.mean(axis=0)
    centred = features - mean
    products = centred @ centred.T
    ridge = strength * np.trace(products) / len(products)
    solved = np.linalg.solve(products + ridge * np.eye(len(products)), severity - severity.mean())
    direction = centred.T @ solved
    return direction, float(severity.mean() - mean @ direction)


def left_out_severity(
    features: Doubles, truth: Truth, seed: int = 0, *, strength: float = STRENGTH
) -> Doubles:
    """(n,) severity of every subject by directions fitted on others."""
    found = np.empty(len(features))
    strata = truth.stages * 2 + truth.primary
    for train, held in StratifiedKFold(5, shuffle=True, random_state=seed).split(features, strata):
        direction, offset = fit_direction(features[train], truth.rows(train).severity, strength=strength)
        found[held] = features[held] @ direction + offset
    return found


def fit_stages(severity: Doubles, stages: Labels) -> tuple[Doubles, Doubles]:
    """(slopes (3,), steps (3,)), centred: adjacent-category logistic regression (Agresti 2010, section 4.1).

    Two steps, each with its own slope and place; slopes are kept from turning back.
    """

    def loss(theta: Doubles) -> float:
        logits = np.outer(severity, _climb(theta[:2])) + _climb(theta[2:])
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return float(-log_p[np.arange(len(stages)), stages].mean())

    found = minimize(
        loss, np.array([1.0, 1, 0, 0]), method="L-BFGS-B", bounds=[(0, 9)] * 2 + [(-20, 20)] * 2
    ).x
    return _climb(found[:2]), _climb(found[2:])


def _climb(steps: Doubles) -> Doubles:
    """(0, a, a + b) less its mean."""
    levels = np.array([0, steps[0], steps[0] + steps[1]])
    return np.asarray(levels - levels.mean())


def _standard(values: Doubles) -> Doubles:
    known = np.isfinite(values)
    if not known.any() or np.ptp(values[known]) == 0:
        return np.zeros(len(values))
    return np.asarray(np.where(known, (values - values[known].mean()) / values[known].std(), 0.0))
