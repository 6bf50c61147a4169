"""Dice, correlation, ratio and rescan variation, with bootstrap intervals over people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.anatomy.scans import MANUAL, Bytes, Key, Scan
from imaging.hemisphere import LEFT, RIGHT, Structure
from preprocessing_service.anatomy.boxes import OTHER_SIDE

Values = npt.NDArray[np.float64]
DRAWS = 2000


@dataclass(frozen=True)
class Row:
    """One scan by one method. dice: of both sides. ml: reported. raw: before calibration. manual: ml."""

    scan: str
    person: str
    older: bool
    dice: Mapping[Structure, float]
    ml: Mapping[Key, float]
    raw: Mapping[Key, float]
    manual: Mapping[Key, float]

    def both(self, kind: str, structure: Structure) -> float:
        """ml of both sides; kind: ml, raw or manual."""
        volumes: Mapping[Key, float] = getattr(self, kind)
        return volumes[structure, LEFT] + volumes[structure, RIGHT]


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval over n people."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def dice_of(labels: Bytes, scan: Scan, structure: Structure) -> float:
    """Both sides together; a voxel on the wrong side is wrong."""
    manual, both, total = scan.manual[0], 0, 0
    for side in (LEFT, RIGHT):
        ours = labels == structure + OTHER_SIDE * side
        theirs = manual == MANUAL[structure, side]
        both += np.count_nonzero(ours & theirs)
        total += np.count_nonzero(ours) + np.count_nonzero(theirs)
    return 2 * both / max(1, total)


def swapped(labels: Bytes, scan: Scan) -> bool:
    """Whether any structure overlaps more with the other side's manual label than with its own."""
    manual = scan.manual[0]
    for (structure, side), number in MANUAL.items():
        ours = labels == structure + OTHER_SIDE * side
        other = MANUAL[structure, RIGHT if side == LEFT else LEFT]
        if np.count_nonzero(ours & (manual == other)) > np.count_nonzero(ours & (manual == number)):
            return True
    return False


def over_people(rows: Sequence[Row], statistic: Callable[[Sequence[Row]], float], seed: int = 0) -> Figure:
    """The statistic with its bootstrap interval: people are drawn, each with all scans."""
    people: dict[str, list[Row]] = {}
    for row in rows:
        people.setdefault(row.person, []).append(row)
    rng, groups, drawn = np.random.default_rng(seed), list(people.values()), []
    for _ in range(DRAWS):
        chosen = rng.integers(len(groups), size=len(groups))
        drawn.append(statistic([row for at in chosen for row in groups[at]]))
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Figure(statistic(rows), float(low), float(high), len(groups))


def mean_dice(structure: Structure) -> Callable[[Sequence[Row]], float]:
    """Mean over scans."""
    return lambda rows: float(np.mean([row.dice[structure] for row in rows]))


def correlation(structure: Structure) -> Callable[[Sequence[Row]], float]:
    """Pearson's r of both sides' volume with the manual one."""

    def r(rows: Sequence[Row]) -> float:
        ours = np.array([row.both("raw", structure) for row in rows])
        theirs = np.array([row.both("manual", structure) for row in rows])
        if len(set(ours.tolist())) < 3:
            return float("nan")
        return float(np.corrcoef(ours, theirs)[0, 1])

    return r


def ratio(structure: Structure, kind: str = "ml") -> Callable[[Sequence[Row]], float]:
    """Mean volume over mean manual volume."""
    return lambda rows: float(
        sum(row.both(kind, structure) for row in rows) / sum(row.both("manual", structure) for row in rows)
    )


def rescan_variation(
    rows: Sequence[Row], pairs: Sequence[Sequence[str]], structure: Structure, kind: str = "ml"
) -> tuple[float, int]:
    """(coefficient of variation in %, pairs): root mean square over pairs of |a - b| / mean / sqrt(2)."""
    named = {row.scan: row.both(kind, structure) for row in rows}
    apart = [2 * (named[a] - named[b]) / (named[a] + named[b]) for a, b in pairs if a in named and b in named]
    return float(100 * np.sqrt(np.mean(np.square(apart)) / 2)) if apart else float("nan"), len(apart)
