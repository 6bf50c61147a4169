"""Calibration lines from scans with manual labels, leaving each person out of the line that measures them.

The kind of line was fixed before any was fitted: where volumes vary little between people (hippocampus,
amygdala), the ratio of the means, because a slope fitted over a narrow range would hide atrophy; where they
vary by a quarter and more (ventricles), the reduced major axis, which regression dilution does not flatten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.anatomy.scores import Row, rescan_variation
from imaging.hemisphere import LEFT, RIGHT, Structure
from preprocessing_service.anatomy.calibration import Line
from preprocessing_service.anatomy.network import weights_digest

Lines = Mapping[Structure, Line]
Values = npt.NDArray[np.float64]
VARIES = (Structure.INFERIOR_HORN, Structure.LATERAL_VENTRICLE)


def slope_and_intercept(ours: Values, theirs: Values, *, varies: bool) -> tuple[float, float]:
    """theirs = slope * ours + intercept."""
    if not varies:
        return float(theirs.mean() / ours.mean()), 0.0
    slope = float(theirs.std() / ours.std())
    return slope, float(theirs.mean() - slope * ours.mean())


def fit_lines(rows: Sequence[Row], pairs: Sequence[Sequence[str]] = ()) -> dict[Structure, Line]:
    """One line per structure over both sides of all scans; its error with every person left out once."""
    lines = {}
    for structure in Structure:
        slope, intercept = _fit(rows, structure)
        errors = []
        for person in sorted({row.person for row in rows}):
            kept, left = [r for r in rows if r.person != person], [r for r in rows if r.person == person]
            if kept:
                a, b = _fit(kept, structure)
                ours, theirs = _sides(left, structure)
                errors.extend((theirs - (a * ours + b)).tolist())
        again, _ = rescan_variation(rows, pairs, structure, "raw")
        lines[structure] = Line(
            slope=round(slope, 4),
            intercept=round(intercept, 4),
            error=round(float(np.sqrt(np.mean(np.square(errors)))), 4) if errors else 0.0,
            rescan=round(again / 100, 4) if again == again else 0.0,
            people=len({row.person for row in rows}),
            scans=len(rows),
        )
    return lines


def left_out(rows: Sequence[Row], person: str) -> dict[Structure, Line]:
    """The lines that everybody but one person gives."""
    return fit_lines([row for row in rows if row.person != person])


def write_lines(lines: Lines, rows: Sequence[Row], path: Path) -> None:
    """calibration.json: the lines, what they were fitted to, and the network they belong to."""
    about: dict[str, Any] = {
        "about": (
            "manual = slope * measured + intercept, ml of one side; fitted to MICCAI 2012 multi-atlas labels "
            "(OASIS scans; Neuromorphometrics, Inc.), which are not part of this repository"
        ),
        "weights": weights_digest(),
        "scans": [row.scan for row in rows],
        "lines": {one.name.lower(): asdict(line) for one, line in lines.items()},
    }
    path.write_text(json.dumps(about, indent=1) + "\n")


def _fit(rows: Sequence[Row], structure: Structure) -> tuple[float, float]:
    return slope_and_intercept(*_sides(rows, structure), varies=structure in VARIES)


def _sides(rows: Sequence[Row], structure: Structure) -> tuple[Values, Values]:
    keys = [(structure, side) for side in (LEFT, RIGHT)]
    ours = np.array([row.raw[key] for row in rows for key in keys])
    return ours, np.array([row.manual[key] for row in rows for key in keys])
