"""Figures of a three-stage answer: discrimination, agreement, calibration, and their spread over subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, confusion_matrix, roc_auc_score

from model_store.training.head import Doubles, Labels

Figure = Callable[[Doubles, Labels], float]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval over subjects."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auc(probabilities: Doubles, stages: Labels) -> float:
    """CDR > 0 against 0, ranked by 1 - p(CDR 0); NaN when only one side is present."""
    return separation(1 - probabilities[:, 0], stages > 0)


def separation(severity: Doubles, sick: npt.NDArray[np.bool_]) -> float:
    """AUC of (n,) severities; NaN when only one side is present."""
    return float(roc_auc_score(sick, severity)) if 0 < sick.sum() < len(sick) else float("nan")


def balanced_accuracy(probabilities: Doubles, stages: Labels) -> float:
    """Mean recall of the three stages by the likeliest stage."""
    return float(balanced_accuracy_score(stages, probabilities.argmax(axis=1)))


def kappa(probabilities: Doubles, stages: Labels) -> float:
    """Cohen's kappa with quadratic weights by the likeliest stage."""
    return float(
        cohen_kappa_score(stages, probabilities.argmax(axis=1), weights="quadratic", labels=[0, 1, 2])
    )


def calibration_error(probabilities: Doubles, stages: Labels, bins: int = 5) -> float:
    """Expected calibration error of p(CDR > 0) over bins of equal count (Naeini et al. 2015)."""
    p = 1 - probabilities[:, 0]
    parts = np.array_split(np.argsort(p), bins)
    return float(sum(abs(p[part].mean() - (stages[part] > 0).mean()) * len(part) for part in parts) / len(p))


def reliability(told: Doubles, stages: Labels, bins: int = 10) -> tuple[Doubles, Doubles, Doubles]:
    """Told p(CDR > 0), found share, and count in bins of equal count. told: (repeats, n); stages: (n,)."""
    order = np.argsort(told.ravel(), kind="stable")
    sick = np.tile(stages > 0, len(told))
    parts = np.array_split(order, bins)
    shares = [(told.ravel()[part].mean(), sick[part].mean(), float(len(part))) for part in parts]
    return tuple(np.asarray(column) for column in zip(*shares, strict=True))  # type: ignore[return-value]


def confusion(probabilities: Doubles, stages: Labels) -> Labels:
    """(3, 3): rows true, columns likeliest."""
    table = confusion_matrix(stages, probabilities.argmax(axis=1), labels=[0, 1, 2])
    return np.asarray(table, dtype=np.int64)


def estimate(figure: Figure, probabilities: Doubles, stages: Labels, *, samples: int = 500) -> Estimate:
    """The mean over repeats, with the 95 % interval of bootstrap samples of subjects.

    probabilities: (repeats, n, 3); stages: (n,).
    """
    chooser = np.random.default_rng(0)
    value = float(np.mean([figure(p, stages) for p in probabilities]))
    spread = []
    for _ in range(samples):
        rows = chooser.integers(0, len(stages), len(stages))
        spread.append(figure(probabilities[chooser.integers(len(probabilities)), rows], stages[rows]))
    low, high = np.nanpercentile(spread, (2.5, 97.5))
    return Estimate(value, float(low), float(high))
