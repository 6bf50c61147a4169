"""The second head: the image's severity beside whatever is known of age, sex, education and MMSE."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from model_store.handler import softmax
from model_store.head import Doubles, Truth, fit_stages

SIGNS = ("mmse", "age", "sex", "educ")
_CAUTION = np.array([0.0, 0.0, 0.0, 30.0, 30.0])
"""Ridge on severity, MMSE, age, sex, education: the last two add noise to some hundred subjects."""
Pattern = tuple[bool, ...]


def signs(table: pd.DataFrame) -> Doubles:
    """(n, 4) in the order of SIGNS, NaN where unknown: log(31 - MMSE), years, 1 for men, education level.

    The logarithm because a point of MMSE means more near its ceiling of 30.
    """
    men = table["sex"].map({"M": 1.0, "F": 0.0}).to_numpy(dtype=float)
    mmse, age, education = (table[name].to_numpy(dtype=float) for name in ("mmse", "age", "educ"))
    return np.stack([np.log(31 - np.clip(mmse, 0, 30)), age, men, education], axis=1)


@dataclass(frozen=True)
class Line:
    """A pattern of known signs: severity = ((image, signs) - mean) / scale @ weights, and its stages."""

    mean: Doubles
    scale: Doubles
    weights: Doubles
    slopes: Doubles
    steps: Doubles

    def logits(self, columns: Doubles) -> Doubles:
        """(n, 5) -> (n, 3); columns of unknown signs have weight 0."""
        severity = np.nan_to_num((columns - self.mean) / self.scale) @ self.weights
        return np.outer(severity, self.slopes) + self.steps


@dataclass(frozen=True)
class Clinical:
    """A fitted line for every pattern of known signs; with none known the image's own answer stands."""

    lines: dict[Pattern, Line]

    def probabilities(self, image_logits: Doubles, severity: Doubles, known: Doubles) -> Doubles:
        """image_logits (n, 3), severity (n,), known (n, 4) with NaN -> (n, 3)."""
        found = np.asarray(softmax(image_logits), dtype=np.float64)
        columns = np.column_stack([severity, known])
        for row, pattern in enumerate(np.isfinite(known)):
            if pattern.any():
                line = self.lines[tuple(map(bool, pattern))]
                found[row] = softmax(line.logits(columns[row : row + 1]))[0]
        return found


def fit_clinical(severity: Doubles, known: Doubles, truth: Truth) -> Clinical:
    """severity: (n,) of subjects that the image head left out; known: (n, 4). Fitted at age >= 60."""
    rows = np.flatnonzero(truth.primary & np.isfinite(known).all(axis=1))
    columns, subjects = np.column_stack([severity, known])[rows], truth.rows(rows)
    patterns = [p for p in product((False, True), repeat=len(SIGNS)) if any(p)]
    return Clinical({pattern: _fit_line(columns, subjects, pattern) for pattern in patterns})


def _fit_line(columns: Doubles, truth: Truth, pattern: Pattern) -> Line:
    mean, scale = columns.mean(axis=0), columns.std(axis=0)
    chosen = np.flatnonzero([True, *pattern])
    x = ((columns - mean) / scale)[:, chosen]
    target = np.sqrt(truth.stages) - np.sqrt(truth.stages).mean()
    products = x.T @ x + np.diag(_CAUTION[chosen])
    weights = np.zeros(columns.shape[1])
    weights[chosen] = np.linalg.solve(products, x.T @ target)
    slopes, steps = fit_stages(x @ weights[chosen] / 0.3, truth.stages)
    return Line(mean, scale, weights / 0.3, slopes, steps)
