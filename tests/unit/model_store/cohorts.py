"""Synthetic subjects whose features carry as much of the disease as a test wants."""

from __future__ import annotations

import numpy as np

from model_store.training.head import Doubles, Truth


def synthetic(
    seed: int, *, count: int = 200, features: int = 40, signal: float = 1.0
) -> tuple[Doubles, Truth]:
    """Features (n, k) whose first column holds `signal` times the severity, and the truth."""
    chooser = np.random.default_rng(seed)
    severity = chooser.normal(size=count)
    stages = np.digitize(severity, [0.0, 1.0]).astype(np.int64)
    x = chooser.normal(size=(count, features))
    x[:, 0] += signal * severity
    age = chooser.uniform(62, 90, count)
    mmse = np.clip(28 - 3 * severity + chooser.normal(scale=2, size=count), 5, 30)
    nwbv = 0.9 - 0.002 * age - 0.02 * severity
    return x, Truth(stages, mmse, nwbv, age)
