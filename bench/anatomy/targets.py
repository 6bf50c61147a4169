"""What the measurement must reach, and the table of what it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.anatomy.robustness import Atrophy, Change
from bench.anatomy.scores import Row, correlation, mean_dice, over_people, ratio, rescan_variation
from imaging.hemisphere import Structure

HIPPOCAMPUS, HORN, VENTRICLE = (
    Structure.HIPPOCAMPUS,
    Structure.INFERIOR_HORN,
    Structure.LATERAL_VENTRICLE,
)
DICE = {HIPPOCAMPUS: 0.84, VENTRICLE: 0.91, HORN: 0.70}
R = {HIPPOCAMPUS: 0.93, VENTRICLE: 0.997, HORN: 0.90}
R_OLDER = {HIPPOCAMPUS: 0.97}
RESCAN = {HIPPOCAMPUS: 1.0, VENTRICLE: 1.2, HORN: 2.5}
DISTURBED, ATROPHY, SECONDS, MEGABYTES = 0.03, 0.10, 0.8, 700.0


@dataclass(frozen=True)
class Verdict:
    """One target. text: what was measured, with its interval and n."""

    name: str
    wanted: str
    text: str
    passed: bool


def accuracy(rows: Sequence[Row], pairs: Sequence[Sequence[str]]) -> list[Verdict]:
    """Dice, r and rescan variation."""
    out = []
    older = [row for row in rows if row.older]
    for one, least in DICE.items():
        figure = over_people(rows, mean_dice(one))
        out.append(
            _verdict(f"{name_of(one)} Dice", f">= {least}", figure.value >= least, f"{figure}, n {figure.n}")
        )
    for one, least in R.items():
        figure = over_people(rows, correlation(one))
        out.append(
            _verdict(f"{name_of(one)} r", f">= {least}", figure.value >= least, f"{figure}, n {figure.n}")
        )
    for one, least in R_OLDER.items():
        if len(older) >= 3:
            figure = over_people(older, correlation(one))
            text = f"{figure}, n {figure.n}"
            out.append(_verdict(f"{name_of(one)} r, older", f">= {least}", figure.value >= least, text))
    for one, most in RESCAN.items():
        value, n = rescan_variation(rows, pairs, one)
        out.append(
            _verdict(f"{name_of(one)} rescan", f"<= {most} %", value <= most, f"{value:.2f} %, {n} pairs")
        )
    return out


def stability(changes: Sequence[Change], atrophies: Sequence[Atrophy]) -> list[Verdict]:
    """Disturbed heads and known atrophy."""
    out = []
    for one in (HIPPOCAMPUS, VENTRICLE, HORN):
        errors = [abs(change.error[one]) for change in changes if change.error]
        if errors:
            within = sum(error <= DISTURBED for error in errors)
            text = f"{within} of {len(errors)} forms, worst {100 * max(errors):.1f} %"
            out.append(_verdict(f"{name_of(one)} disturbed", "<= 3 %", within == len(errors), text))
    if atrophies:
        shares = [one.measured / one.true for one in atrophies]
        within = sum(abs(share - 1) <= ATROPHY for share in shares)
        mean = sum(shares) / len(shares)
        text = f"{within} of {len(shares)} within, mean {mean:.2f}, {min(shares):.2f} to {max(shares):.2f}"
        out.append(_verdict("atrophy of known size", "within 10 %", within == len(shares), text))
    return out


def _verdict(name: str, wanted: str, passed: bool, text: str) -> Verdict:
    return Verdict(name, wanted, text, passed)


def name_of(structure: Structure) -> str:
    """As people write it."""
    return structure.name.lower().replace("_", " ")


def print_method(name: str, rows: Sequence[Row], pairs: Sequence[Sequence[str]]) -> None:
    """Every figure of one method, all scans and the older ones."""
    for one in Structure:
        if any(one not in row.dice for row in rows):
            continue
        for group, chosen in (("all", rows), ("older", [row for row in rows if row.older])):
            if len(chosen) < 3:
                continue
            dice, r = over_people(chosen, mean_dice(one)), over_people(chosen, correlation(one))
            share = over_people(chosen, ratio(one))
            print(
                f"{name:12s} {name_of(one):18s} {group:6s} n {dice.n:2d}  Dice {dice}  r {r}  ratio {share}"
            )
        again, n = rescan_variation(rows, pairs, one)
        print(f"{name:12s} {name_of(one):18s} rescan variation {again:.2f} % ({n} pairs)")


def print_verdicts(verdicts: Iterable[Verdict]) -> bool:
    """The table of targets; whether all were reached."""
    every = True
    for one in verdicts:
        print(f"{'ok  ' if one.passed else 'MISS'} {one.name:28s} {one.wanted:12s} {one.text}")
        every = every and one.passed
    return every
