"""Where a volume lies among healthy people of the same age and sex: z, percentile, and how sure that is.

norms.json holds smooth curves of our own, fitted by `python -m model_store.anatomy.fit_norms` to percentiles
of cognitively normal adults by DLMUSE (NiChart; CBICA, University of Pennsylvania). They are normal
distributions whose mean and spread change with age, as their source is; its lower percentiles of the inferior
horn are negative, so a small horn never gets a low percentile. Percentiles end at 0.1 and 99.9.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import numpy as np

from imaging.hemisphere import LEFT, Structure

FILE = Path(__file__).with_name("norms.json")
YOUNGEST, OLDEST = 40.0, 93.0
"""Years for which there are norms; nobody outside gets a percentile."""

NINETY = 1.6449
"""Standard deviations on either side of a 90 % interval."""

LEAST, MOST = 0.1, 99.9
Sex = Literal["F", "M"]


@dataclass(frozen=True)
class Curve:
    """mean, log_spread: coefficients of polynomials in (age - 65) / 10, lowest power first; ml."""

    mean: tuple[float, ...]
    log_spread: tuple[float, ...]

    def at(self, age: float) -> NormalDist:
        """The healthy distribution at an age, ml."""
        x = (age - 65) / 10
        mean = float(np.polynomial.polynomial.polyval(x, self.mean))
        return NormalDist(mean, float(np.exp(np.polynomial.polynomial.polyval(x, self.log_spread))))


@dataclass(frozen=True)
class Standing:
    """z and percentile of one volume, each with the ends of its 90 % interval."""

    z: float
    z_low: float
    z_high: float
    percentile: float
    percentile_low: float
    percentile_high: float


def standing(
    ml: float, spread: float, key: tuple[Structure, int], *, age: float | None, sex: str | None
) -> Standing | None:
    """None where there are no norms: age outside 40 to 93, age or sex unknown.

    ml: calibrated volume. spread: its standard deviation by measurement and calibration. key: what it is.
    """
    if age is None or sex not in ("F", "M") or not YOUNGEST <= age <= OLDEST:
        return None
    healthy = load_norms()[sex, *key].at(age)
    z, half = healthy.zscore(ml), NINETY * spread / healthy.stdev
    return Standing(z, z - half, z + half, *(_percentile(one) for one in (z, z - half, z + half)))


def _percentile(z: float) -> float:
    return min(MOST, max(LEAST, 100 * NormalDist().cdf(z)))


@cache
def load_norms(path: Path = FILE) -> dict[tuple[str, Structure, int], Curve]:
    """(sex, structure, side) -> curve; every structure of both sides for both sexes."""
    found = {}
    for row in json.loads(path.read_text())["curves"]:
        key = row["sex"], Structure[row["structure"].upper()], LEFT if row["side"] == "left" else 1 - LEFT
        found[key] = Curve(tuple(row["mean"]), tuple(row["log_spread"]))
    return found
