"""What turns logits into promises: temperature, conformal threshold, distance from the training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from model_store.served.pooling import softmax
from model_store.training.head import Doubles, Labels

COVERAGE = 0.9
DIRECTIONS = 32
"""Main directions of the training features; 166 subjects carry no more."""


@dataclass(frozen=True)
class Temperature:
    """p = softmax((logits + bias) / temperature), after Guo et al. 2017 with a bias for the class balance."""

    temperature: float
    bias: Doubles

    def probabilities(self, logits: Doubles) -> Doubles:
        """(n, 3) -> (n, 3)."""
        return np.asarray(softmax((logits + self.bias) / self.temperature), dtype=np.float64)


def fit_temperature(logits: Doubles, stages: Labels) -> Temperature:
    """Smallest log loss on logits of subjects that the head did not see."""

    def loss(theta: Doubles) -> float:
        bias = np.array([theta[1], theta[2], -theta[1] - theta[2]])
        scaled = (logits + bias) / np.exp(theta[0])
        log_p = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        return float(-log_p[np.arange(len(stages)), stages].mean())

    found = minimize(loss, np.zeros(3), method="L-BFGS-B", bounds=[(-2, 2), (-5, 5), (-5, 5)]).x
    return Temperature(float(np.exp(found[0])), np.array([found[1], found[2], -found[1] - found[2]]))


def conformal_threshold(probabilities: Doubles, stages: Labels, coverage: float = COVERAGE) -> float:
    """Least ambiguous set threshold (Sadinle et al. 2019): keep every class with 1 - p <= threshold.

    probabilities: (n, 3) of subjects that the head did not see; the rank is ceil((n + 1) * coverage).
    """
    scores = np.sort(1 - probabilities[np.arange(len(stages)), stages])
    rank = int(np.ceil((len(scores) + 1) * coverage))
    return float(scores[min(rank, len(scores)) - 1])


def fit_typical(features: Doubles) -> dict[str, npt.NDArray[np.float32]]:
    """Constants of `Pooling.out_of_distribution` from (n, k) volume features, still without its unit."""
    mean = features.mean(axis=0)
    _, lengths, directions = np.linalg.svd(features - mean, full_matrices=False)
    kept = min(DIRECTIONS, len(features) // 2)
    scale = lengths[:kept] / np.sqrt(len(features) - 1)
    residual = (lengths[kept:] ** 2).sum() / (len(features) - kept) / features.shape[1]
    parts = {"ood_mean": mean, "ood_basis": directions[:kept], "ood_scale": scale, "ood_residual": residual}
    return {name: np.asarray(value, dtype=np.float32) for name, value in parts.items()}
