"""The second head: the image's severity beside whatever is known of age, sex, education and MMSE."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from model_store.training.head import Doubles, Truth, fit_stages

SIGNS = ("mmse", "age", "sex", "educ")
_CAUTION = np.array([0.0, 0.0, 0.0, 100.0, 100.0])
"""Ridge on severity, MMSE, age, sex, education: the last two add noise to some hundred subjects."""
_UNIT = 0.3
"""Spread of the fitted severity; stages are fitted along it in units of about one."""


def signs(table: pd.DataFrame) -> Doubles:
    """(n, 4) as the handler takes them: MMSE, age, 1 for men, OASIS's level of education; NaN if unknown."""
    men = table["sex"].map({"M": 1.0, "F": 0.0}).to_numpy(dtype=float)
    mmse, age, education = (table[name].to_numpy(dtype=float) for name in ("mmse", "age", "educ"))
    return np.stack([mmse, age, men, education], axis=1)


def fit_clinical(severity: Doubles, known: Doubles, truth: Truth) -> dict[str, npt.NDArray[np.float64]]:
    """The handler's clinical_... constants: one line for each of the 16 patterns of known covariates.

    severity: (n,) of subjects that the image head left out; known: (n, 4), see `signs`. Fitted at age >= 60
    on subjects of whom everything is known. Line 0, nothing known, is never read.
    """
    columns = np.column_stack([severity, np.log(31 - np.clip(known[:, 0], 0, 30)), known[:, 1:]])
    rows = np.flatnonzero(truth.primary & np.isfinite(columns).all(axis=1))
    columns, subjects = columns[rows], truth.rows(rows)
    mean, scale = columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-9)
    lines = [
        _fit_line((columns - mean) / scale, subjects, chosen=np.flatnonzero([True, *reversed(pattern)]))
        for pattern in product((False, True), repeat=len(SIGNS))  # the last one changes fastest: bit 0
    ]
    weights, slopes, steps = (np.stack(parts) for parts in zip(*lines, strict=True))
    found = {"mean": mean, "scale": scale, "weights": weights, "slopes": slopes, "steps": steps}
    return {f"clinical_{name}": value for name, value in found.items()}


def _fit_line(
    columns: Doubles, truth: Truth, *, chosen: npt.NDArray[np.intp]
) -> tuple[Doubles, Doubles, Doubles]:
    """(weights (5,), slopes (3,), steps (3,)); columns that are not chosen get weight 0."""
    x = columns[:, chosen]
    target = np.sqrt(truth.stages) - np.sqrt(truth.stages).mean()
    weights = np.zeros(columns.shape[1])
    weights[chosen] = np.linalg.solve(x.T @ x + np.diag(_CAUTION[chosen]), x.T @ target) / _UNIT
    slopes, steps = fit_stages(columns @ weights, truth.stages)
    return weights, slopes, steps
