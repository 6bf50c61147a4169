"""Fit the norm curves that the service reads: `python -m model_store.anatomy.fit_norms TABLE.csv`.

TABLE: sex, region, age, p5_mm3 ... p95_mm3 (NiChart, dlmuse_centiles_cn). Its percentiles are those of a
normal distribution at every age, so the mean is p50 and the spread (p95 - p5) / 3.29; both become polynomials
in age.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

OUT = Path(__file__).parents[2] / "preprocessing_service" / "anatomy" / "norms.json"
REGIONS = {
    "Hippocampus": "hippocampus",
    "InfLatVentricle": "inferior_horn",
    "LateralVentricle": "lateral_ventricle",
    "Amygdala": "amygdala",
}
SIDES = {"L": "left", "R": "right"}
DEGREE = 3
TAILS = 3.2897
"""Standard deviations between the 5th and the 95th percentile."""

SOURCE = (
    "Percentiles of cognitively normal adults, age 40 to 93, by DLMUSE: NiChart, CBICA, University of "
    "Pennsylvania (SBIA licence: research; clinical applications are neither recommended nor advised). "
    "These are polynomials fitted to them, not the table."
)
Row = dict[str, str]


def fit(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One curve per sex, structure and side, with the largest error of its median and spread in ml."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        region, _, side = row["region"].partition("_")
        if region in REGIONS and side in SIDES:
            groups.setdefault((row["sex"], REGIONS[region], SIDES[side]), []).append(row)
    return [
        {"sex": sex, "structure": structure, "side": side, **_curve(found)}
        for (sex, structure, side), found in sorted(groups.items())
    ]


def _curve(rows: list[Row]) -> dict[str, Any]:
    age, p5, p50, p95 = (_column(rows, name) for name in ("age", "p5_mm3", "p50_mm3", "p95_mm3"))
    x, mean, spread = (age - 65) / 10, p50 / 1000, (p95 - p5) / 1000 / TAILS
    fitted = np.polynomial.polynomial.polyfit(x, mean, DEGREE)
    log_spread = np.polynomial.polynomial.polyfit(x, np.log(spread), DEGREE)
    at = np.polynomial.polynomial.polyval
    return {
        "mean": [round(float(v), 6) for v in fitted],
        "log_spread": [round(float(v), 6) for v in log_spread],
        "largest_error_ml": [
            round(float(np.abs(at(x, fitted) - mean).max()), 4),
            round(float(np.abs(np.exp(at(x, log_spread)) - spread).max()), 4),
        ],
    }


def _column(rows: list[Row], name: str) -> npt.NDArray[np.float64]:
    return np.array([float(row[name]) for row in rows])


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args(arguments)
    with chosen.table.open(newline="") as file:
        curves = fit(csv.DictReader(file))
    about = {"source": SOURCE, "unit": "ml", "age": "(years - 65) / 10", "curves": curves}
    chosen.out.write_text(json.dumps(about, indent=1) + "\n")
    sys.stdout.write(f"{len(curves)} curves in {chosen.out}\n")


if __name__ == "__main__":
    main()
