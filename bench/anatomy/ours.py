"""Our measurement of every scan, each calibrated by lines that did not see its person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.anatomy.lines import Lines, left_out
from bench.anatomy.scans import MANUAL, Bytes, Scan
from bench.anatomy.scores import Row, dice_of, swapped
from imaging.hemisphere import Structure
from preprocessing_service.anatomy.boxes import cut_boxes
from preprocessing_service.anatomy.flags import Flag
from preprocessing_service.anatomy.measurement import Found, find, flags_of
from preprocessing_service.anatomy.network import AnatomyNetwork
from preprocessing_service.anatomy.volumes import calibrated
from preprocessing_service.steps.quality import Prepared


@dataclass(frozen=True)
class Seen:
    """One scan and what the network found in it. seconds: CPU, boxes and network and components."""

    scan: Scan
    found: Found
    flags: tuple[Flag, ...]
    seconds: float


def see(scan: Scan, head: Prepared, network: AnatomyNetwork) -> Seen:
    """Run the network on one prepared scan."""
    begun = time.process_time()
    found = find(cut_boxes(head), network)
    seconds = time.process_time() - begun
    return Seen(scan, found, flags_of(head, found, found.measured()), seconds)


def uncalibrated(seen: Sequence[Seen]) -> list[Row]:
    """Volumes as they are summed; no Dice yet."""
    rows = []
    for one in seen:
        raw = one.found.measured()
        manual = {key: one.scan.manual_ml(key) for key in MANUAL}
        rows.append(Row(one.scan.name, one.scan.person, one.scan.older, {}, raw, raw, manual))
    return rows


def scored(seen: Sequence[Seen], shipped: Lines, fitted: Sequence[str]) -> tuple[list[Row], list[str]]:
    """(rows, scans whose sides are swapped).

    fitted: scans that the shipped lines were fitted to. They are calibrated by lines that leave their person
    out; every other scan by the shipped lines.
    """
    raw, rows, wrong = uncalibrated(seen), [], []
    known = [row for row in raw if row.scan in fitted]
    for one, row in zip(seen, raw, strict=True):
        lines = left_out(known, row.person) if row.scan in fitted else shipped
        ml = calibrated(dict(row.raw), lines)
        labels = labels_of(one, ml)
        dice = {structure: dice_of(labels, one.scan, structure) for structure in Structure}
        rows.append(replace(row, dice=dice, ml=ml))
        if swapped(labels, one.scan):
            wrong.append(row.scan)
    return rows, wrong


def labels_of(one: Seen, ml: dict[tuple[Structure, int], float]) -> Bytes:
    """The label map on the grid of the manual labels."""
    manual, affine = one.scan.manual
    return one.found.labels_on(ml, affine=affine, shape=manual.shape)
