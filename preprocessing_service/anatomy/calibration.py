"""One line per structure: the network's volume -> the scale of manual labels, with the error of doing so.

The network learned FreeSurfer's protocol; norms and manual volumes follow that of Neuromorphometrics.
calibration.json is fitted by `python -m bench.anatomy --calibrate`, which says how.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from imaging.hemisphere import Structure

FILE = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True)
class Line:
    """manual = slope * measured + intercept, ml of one side.

    error: standard deviation of manual around the line, ml, each person left out of its own line. rescan: one
    standard deviation of measuring a person again, as a share. people, scans: behind the fit.
    """

    slope: float
    intercept: float
    error: float
    rescan: float
    people: int
    scans: int

    def __call__(self, measured: float) -> float:
        """ml on the manual scale, never negative."""
        return max(0.0, self.slope * measured + self.intercept)

    def spread(self, ml: float) -> float:
        """One standard deviation in ml of a calibrated volume: the line's error and the measurement's."""
        return float(np.hypot(self.error, self.rescan * ml))


IDENTITY = Line(1.0, 0.0, 0.0, 0.0, 0, 0)


@cache
def load_calibration(path: Path = FILE) -> dict[Structure, Line]:
    """The shipped lines; FileNotFoundError, KeyError or ValueError when the file is not whole."""
    lines = json.loads(path.read_text())["lines"]
    return {one: Line(**lines[one.name.lower()]) for one in Structure}
