"""`python -m bench.preprocess`: seconds, memory and exactness of preprocessing, beside the tools others use.

Reads the heads of HIPPOCAMP_DATA. Run with OMP_NUM_THREADS=1: one core is what the targets are for.
`--only speed` wants an idle machine for a minute, `--only peers` a core of its own for 20; `--only largest`
(three minutes) and `--only exactness` (15) may share; with `--rows FILE` the latter goes on where it was
stopped. `--quick` tries few disturbances of one head, `--check` ends with 1 at a missed target.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path

import nibabel
import numpy as np

from bench.heads import HEADS, load_head, redraw, turned, volumes_folder
from bench.preprocess_largest import largest
from bench.preprocess_measures import Exactness, exactness
from bench.preprocess_peers import compare_with_peers
from bench.preprocess_speed import Speed, ceiling, scaling, speed
from preprocessing_service import pipeline_digest

Check = tuple[str, float, Callable[[float], bool]]
PARTS = ("speed", "largest", "peers", "exactness")


def main() -> int:
    """Measure, print, and compare with the targets."""
    parser = argparse.ArgumentParser(prog="python -m bench.preprocess", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repeats, one head, few disturbances")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--only", choices=PARTS, help="one part of the three")
    parser.add_argument("--rows", type=Path, help="file that keeps what exactness has measured")
    chosen = parser.parse_args()
    names = HEADS[:1] if chosen.quick else HEADS
    checks: list[Check] = []
    for part in (chosen.only,) if chosen.only else PARTS:
        if part == "exactness":
            checks += measure_exactness(names, quick=chosen.quick, file=chosen.rows)
        else:
            measure = {"speed": measure_speed, "largest": measure_largest, "peers": measure_peers}[part]
            checks += measure(names, quick=chosen.quick)
    missed = [f"{name}: {value:.3f}" for name, value, met in checks if not met(value)]
    for line in missed:
        print("MISSED", line)
    if checks and not missed:
        print(f"all {len(checks)} targets met")
    return 1 if chosen.check and missed else 0


def measure_speed(names: tuple[str, ...], *, quick: bool) -> list[Check]:
    """CPU, wall, memory of whole heads, a series, a head that needs the second network, and two at once."""
    repeats = 3 if quick else 9
    with tempfile.TemporaryDirectory() as made:
        plain, pitched = made_files(Path(made))
        rows = [speed(file, repeats) for file in (plain, *(volumes_folder() / name for name in names))]
        second = speed(pitched, 3)
        print_speeds([*rows, second])
        doubled = scaling(plain, 3 * repeats)
    print(
        f"two processes prepare {doubled:.2f} times as many heads as one; of products in a core's own cache"
    )
    print(f"they do {ceiling():.2f} times as many, so much are the machine's two cores worth")
    print()
    heads = [row for row in rows if row.name.endswith(".nii.gz")]
    return [
        ("CPU s a whole head <= 0.45", max(row.cpu for row in heads), lambda x: x <= 0.45),
        ("CPU s a DICOM series <= 0.9", max(row.cpu for row in rows), lambda x: x <= 0.9),
        ("MB a head or series <= 600", max(row.megabytes for row in (*rows, second)), lambda x: x <= 600),
        ("two processes >= 1.9", doubled, lambda x: x >= 1.9),
    ]


def made_files(folder: Path) -> tuple[Path, Path]:
    """256 voxels of 1 mm each way, int16, gzipped; the same pitched by 40 degrees."""
    head = load_head(HEADS[1])
    wanted = {
        "1mm_256.nii.gz": redraw(head, np.eye(4)),
        "1mm_256_pitched.nii.gz": redraw(head, turned((40, 0, 0))),
    }
    for name, made in wanted.items():
        image = nibabel.Nifti1Image(made.voxels.astype(np.int16), made.affine)  # type: ignore[no-untyped-call]
        nibabel.save(image, folder / name)
    one, two = (folder / name for name in wanted)
    return one, two


def measure_largest(names: tuple[str, ...], *, quick: bool) -> list[Check]:  # noqa: ARG001  one head is enough
    """Memory of the largest kinds of input; quick: of the first of them."""
    most = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, cost in islice(largest(Path(folder)), 1 if quick else None):
            print(f"{name:48s}{cost.megabytes:>6.0f} MB  {cost.answer}", flush=True)
            most = max(most, cost.megabytes)
    print()
    return [("MB of the largest kinds <= 600", most, lambda x: x <= 600)]


def measure_peers(names: tuple[str, ...], *, quick: bool) -> list[Check]:
    """Other tools on the same images in the same run, a head after the other: some take minutes each."""
    for name in names[:1] if quick else names[:2]:
        print(f"{name:28s}{'CPU s':>8s}{'wall s':>8s}{'mean off':>9s}{'worst':>9s}  (mm; fields: log)")
        for peer in compare_with_peers((name,)):
            print(peer.line(), flush=True)
        print()
    return []


def measure_exactness(names: tuple[str, ...], *, quick: bool, file: Path | None) -> list[Check]:
    """Every disturbance of every head; rows of this pipeline that `file` holds stay as they are."""
    kept = Rows(file)
    rows = [
        kept.add(row)
        for name in names
        for row in exactness(name, quick=quick, known=partial(kept.found, name))
    ]
    print_exactness(rows)
    dice = [row.dice for row in rows if row.dice == row.dice]
    given = [row for row in rows if row.variant.startswith("bias")]
    own = [row.field_after - row.field_before for row in rows if row.variant == "undisturbed"]
    return [
        ("mean error mm <= 0.35", float(np.mean([row.error for row in rows])), lambda x: x <= 0.35),
        ("worst error mm <= 1", max(row.error for row in rows), lambda x: x <= 1),
        ("slices' ncc >= 0.97", min(row.likeness for row in rows), lambda x: x >= 0.97),
        ("change of probability <= 0.05", max(row.shift for row in rows), lambda x: x <= 0.05),
        ("field left <= 0.035", max(row.field_after for row in given), lambda x: x <= 0.035),
        ("white matter's spread of plain heads, change <= 0", max(own), lambda x: x <= 0),
        ("refused good heads = 0", sum(bool(row.refused) for row in rows), lambda x: x == 0),
        ("mean Dice >= 0.98", float(np.mean(dice)), lambda x: x >= 0.98),
        ("worst Dice >= 0.95", min(dice), lambda x: x >= 0.95),
    ]


class Rows:
    """Rows as JSON lines in a file that may be absent, of the pipeline at hand only."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        lines = file.read_text().splitlines() if file and file.exists() else []
        rows = (Exactness(**json.loads(line)) for line in lines)
        self._known = {(row.head, row.variant): row for row in rows if row.digest == pipeline_digest()}

    def found(self, head: str, variant: str) -> Exactness | None:
        """The row, when it is known."""
        return self._known.get((head, variant))

    def add(self, row: Exactness) -> Exactness:
        """The row itself, written down unless it is known."""
        if self._file and not self.found(row.head, row.variant):
            with self._file.open("a") as out:
                out.write(json.dumps(asdict(row)) + "\n")
        return row


def print_speeds(rows: list[Speed]) -> None:
    """CPU and wall seconds, each step's milliseconds, and memory."""
    steps = list(rows[0].steps)
    print(f"{'file':28s}{'CPU s':>7s}{'wall s':>8s}{'MB':>6s}  " + "".join(f"{step:>11s}" for step in steps))
    for row in rows:
        parts = "".join(f"{1000 * row.steps[step]:>9.0f}ms" for step in steps)
        print(f"{row.name[:27]:28s}{row.cpu:>7.2f}{row.wall:>8.2f}{row.megabytes:>6.0f}  {parts}")
    print()


def print_exactness(rows: list[Exactness]) -> None:
    """One line a disturbance, and the whole set's figures."""
    print(
        f"{'head':12s}{'disturbance':34s}{'mm':>7s}{'ncc':>8s}{'dp':>7s}{'dice':>7s}{'field':>15s}  refused"
    )
    for row in rows:
        known = row.field_before == row.field_before
        left = f"{row.field_before:.3f}->{row.field_after:.3f}" if known else ""
        print(f"{row.head[:11]:12s}{row.variant:34s}{row.error:>7.3f}{row.likeness:>8.4f}{row.shift:>7.3f}"
              f"{row.dice:>7.3f}{left:>15s}  {row.refused}{' second network' * row.escalated}")  # fmt: skip
    print(f"\n{len(rows)} heads, {sum(row.escalated for row in rows)} of them by the second network")
    for name in ("error", "likeness", "shift", "dice"):
        values = np.array([getattr(row, name) for row in rows])
        values = values[~np.isnan(values)]
        print(f"{name:9s} mean {values.mean():.4f}, median {np.median(values):.4f}, "
              f"from {values.min():.4f} to {values.max():.4f}")  # fmt: skip
    print()


if __name__ == "__main__":
    sys.exit(main())
