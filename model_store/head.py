"""The head: an ordinal softmax, linear in the pooled features and strongly regularised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
_LEVELS = np.array([[-1.0, -1 / 3], [0.0, -1 / 3], [1.0, 2 / 3]])
"""Centred logits of the stages from (direction w, bend d): the step from 0 to 0.5 is w, the next w + d."""


@dataclass(frozen=True)
class Head:
    """logits = features @ weight.T + bias; weight (3, k), bias (3,), rows in the order CDR 0, 0.5, >=1."""

    weight: Doubles
    bias: Doubles

    def logits(self, features: Doubles) -> Doubles:
        """(n, k) -> (n, 3)."""
        return np.asarray(features @ self.weight.T + self.bias)


@dataclass(frozen=True)
class Penalty:
    """strength: weight of |w|^2 / 2 against the mean log loss; bend: how many times more |d|^2 costs.

    balance: 0 for natural class weights, 1 for equal ones.
    """

    strength: float = 0.02
    bend: float = 10.0
    balance: float = 0.5


def fit_head(features: Doubles, stages: Labels, penalty: Penalty) -> Head:
    """Adjacent-category logistic regression (Agresti 2010, section 4.1), penalised towards proportional odds.

    features: (n, k) one row a subject; stages: (n,) in 0, 1, 2. With k = 2,048 and some hundred subjects
    the fit runs in the at most n - 1 directions that the subjects span.
    """
    mean = features.mean(axis=0)
    scores, basis = _span(features - mean)
    rank = scores.shape[1]
    weights = _class_weights(stages, penalty.balance)

    def loss(theta: Doubles) -> tuple[float, Doubles]:
        directions = theta[: 2 * rank].reshape(2, rank)
        logits = scores @ (_LEVELS @ directions).T + theta[2 * rank :]
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        error = (np.exp(log_p) - np.eye(3)[stages]) * weights[:, None]
        scale = penalty.strength * np.array([[1.0], [penalty.bend]])
        gradient = _LEVELS.T @ error.T @ scores + scale * directions
        value = -(weights * log_p[np.arange(len(stages)), stages]).sum() + (scale * directions**2).sum() / 2
        return float(value), np.concatenate([gradient.ravel(), error.sum(axis=0)])

    found = minimize(loss, np.zeros(2 * rank + 3), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    weight = _LEVELS @ found.x[: 2 * rank].reshape(2, rank) @ basis
    bias = found.x[2 * rank :]
    return Head(weight=weight, bias=bias - bias.mean() - weight @ mean)


def _span(centred: Doubles) -> tuple[Doubles, Doubles]:
    """Scores (n, r) with mean square row norm 1; the (r, k) matrix that maps directions back to features."""
    values, vectors = np.linalg.eigh(centred @ centred.T)
    kept = values > values[-1] * 1e-9
    values, vectors = values[kept], vectors[:, kept]
    scale = np.sqrt(values.sum() / len(centred))
    scores = vectors * np.sqrt(values) / scale
    return scores, (vectors / np.sqrt(values)).T @ centred / scale


def _class_weights(stages: Labels, balance: float) -> Doubles:
    counts = np.bincount(stages, minlength=3).astype(float)
    weights = (len(stages) / np.maximum(counts, 1) / 3) ** balance
    return np.asarray(weights[stages] / weights[stages].sum())
