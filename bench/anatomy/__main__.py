"""Anatomy against manual labels: `python -m bench.anatomy [--data FOLDER] [--check] [--quick]`.

FOLDER holds NNNN_t1_brain.nii.gz and NNNN_labels.nii.gz; without it, anatomy/ of HIPPOCAMP_DATA. MeshNet,
hippodeep (--weights) and the mean of the label maps (--sources, made by training) are measured beside our
network where their files are there. --calibrate fits the lines to these scans and writes calibration.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.anatomy.cost import cost_of
from bench.anatomy.lines import fit_lines, write_lines
from bench.anatomy.ours import Seen, scored, see, uncalibrated
from bench.anatomy.overlays import overlay, write_overlays
from bench.anatomy.references import Reference, references
from bench.anatomy.robustness import Atrophy, Change, atrophied, disturbed, mirrored_sides
from bench.anatomy.scans import MANUAL, PAIRS, Scan, data_folder, list_scans
from bench.anatomy.scores import Row, dice_of
from bench.anatomy.targets import (
    MEGABYTES,
    SECONDS,
    Verdict,
    accuracy,
    print_method,
    print_verdicts,
    stability,
)
from bench.heads import HEADS
from imaging.hemisphere import Structure
from preprocessing_service.anatomy.calibration import FILE, IDENTITY, load_calibration
from preprocessing_service.anatomy.network import AnatomyNetwork, anatomy_network, read_weights
from preprocessing_service.steps.quality import Prepared

Pairs = Sequence[Sequence[str]]


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 when --check was given and a target was missed."""
    chosen = parser().parse_args(arguments)
    torch.set_num_threads(1)
    pairs: Pairs = [one.split(":") for one in chosen.pairs] if chosen.pairs else PAIRS
    scans = list_scans(data_folder(chosen.data), pairs)
    scans = scans[:: max(1, len(scans) // 4)] if chosen.quick else scans
    network = (
        AnatomyNetwork(read_weights(chosen.network), torch.float32) if chosen.network else anatomy_network()
    )
    seen, beside = measure_all(
        scans, network, {} if chosen.quick else references(chosen.weights, chosen.sources)
    )
    if chosen.calibrate:
        rows = uncalibrated(seen)
        write_lines(fit_lines(rows, pairs), rows, FILE)
        load_calibration.cache_clear()
        print(FILE.read_text())
        return 0
    lines = load_calibration() if FILE.exists() else dict.fromkeys(Structure, IDENTITY)
    fitted = json.loads(FILE.read_text())["scans"] if FILE.exists() else []
    rows, wrong = scored(seen, lines, fitted)
    for name, found in {"ours": rows, **beside}.items():
        print_method(name, found, pairs)
    verdicts = [*accuracy(rows, pairs), _sides(wrong, rows)]
    verdicts += [*_disturbances(chosen, network), *_cost(scans[-1])]
    paths = write_overlays(
        {one.scan.name: overlay(one, dict(row.ml)) for one, row in chosen_pictures(seen, rows)}, chosen.out
    )
    print("overlays:", *paths)
    return 0 if print_verdicts(verdicts) or not chosen.check else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = os.environ.get("HIPPOCAMP_DATA")
    given = argparse.ArgumentParser(prog="python -m bench.anatomy", description=__doc__)
    given.add_argument("--data", type=Path)
    given.add_argument("--weights", type=Path, default=Path(root) / "weights" if root else None)
    given.add_argument("--sources", type=Path, help="sources/ of a training run: the atlas prior")
    given.add_argument("--network", type=Path, help="another weights file, in float32")
    given.add_argument("--pairs", nargs="*", metavar="A:B", help="scans of one person on two days")
    given.add_argument("--out", type=Path, default=Path("runs/anatomy"), help="folder for overlays")
    given.add_argument("--heads", nargs="*", default=HEADS, help="files of volumes/ to disturb")
    given.add_argument("--calibrate", action="store_true")
    given.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    given.add_argument("--quick", action="store_true", help="four scans, no references, few disturbed forms")
    return given


def measure_all(
    scans: Sequence[Scan], network: AnatomyNetwork, others: dict[str, Reference]
) -> tuple[list[Seen], dict[str, list[Row]]]:
    """Ours, and every reference, on the same prepared scans."""
    seen: list[Seen] = []
    beside: dict[str, list[Row]] = {name: [] for name in others}
    for scan in scans:
        head = scan.prepared()
        seen.append(see(scan, head, network))
        for name, reference in others.items():
            beside[name].append(_row(scan, head, reference))
        print(scan.name, *seen[-1].flags, f"{seen[-1].seconds:.2f} CPU s", file=sys.stderr)
    return seen, beside


def _row(scan: Scan, head: Prepared, reference: Reference) -> Row:
    labels, affine = scan.manual
    answer = reference(head, affine, labels.shape)
    structures = {structure for structure, _ in answer.ml}
    dice = {one: dice_of(answer.labels, scan, one) for one in structures}
    manual = {key: scan.manual_ml(key) for key in MANUAL}
    return Row(scan.name, scan.person, scan.older, dice, answer.ml, answer.ml, manual)


def _sides(wrong: list[str], rows: Sequence[Row]) -> Verdict:
    return Verdict("left and right swapped", "never", f"{len(wrong)} of {len(rows)} {wrong or ''}", not wrong)


def _disturbances(chosen: argparse.Namespace, network: AnatomyNetwork) -> list[Verdict]:
    lines = load_calibration() if FILE.exists() else dict.fromkeys(Structure, IDENTITY)
    changes: list[Change] = []
    for name in HEADS[:1] if chosen.quick else chosen.heads:
        for change in disturbed(name, network, lines, quick=chosen.quick):
            changes.append(change)
            errors = "  ".join(f"{one.name.lower()} {100 * e:+.1f} %" for one, e in change.error.items())
            print(f"{name:30s} {change.variant:20s} {errors or change.refused}", flush=True)
    mirror = mirrored_sides(HEADS[0], network, lines)
    scans = list_scans(data_folder(chosen.data))
    atrophies: list[Atrophy] = []
    for scan in scans[-1:] if chosen.quick else scans[:: max(1, len(scans) // 6)]:
        for one in atrophied(scan, network, lines):
            atrophies.append(one)
            print(
                f"{one.scan} {one.structure.name.lower()} true {one.true:+.3f} measured {one.measured:+.3f}"
            )
    sides = Verdict("sides of a mirror image", "swapped", f"{100 * mirror:.2f} % apart", mirror < 0.03)
    return [sides, *stability(changes, atrophies)]


def _cost(scan: Scan) -> list[Verdict]:
    cost = cost_of(scan.brain)
    text = f"{cost.seconds:.2f} CPU s after {cost.preprocessing:.2f} of preprocessing"
    memory = f"{cost.megabytes:.0f} MB, {cost.megabytes_before:.0f} before"
    return [
        Verdict("CPU time", f"<= {SECONDS} s", text, cost.seconds <= SECONDS),
        Verdict("peak memory", f"<= {MEGABYTES:.0f} MB", memory, cost.megabytes <= MEGABYTES),
    ]


def chosen_pictures(seen: Sequence[Seen], rows: Sequence[Row]) -> list[tuple[Seen, Row]]:
    """The best, the middle and the two worst scans by the hippocampus' Dice, and every older one."""
    order = sorted(zip(seen, rows, strict=True), key=lambda pair: pair[1].dice[Structure.HIPPOCAMPUS])
    picked = [order[0], order[min(1, len(order) - 1)], order[len(order) // 2], order[-1]]
    return picked + [pair for pair in order if pair[1].older and pair not in picked]


if __name__ == "__main__":
    sys.exit(main())
