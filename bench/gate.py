"""`python -m bench.gate`: the quality gate on scans of known contrast, and where its thresholds come from.

Reads cases/, volumes/, anatomy/ and label_maps/ of HIPPOCAMP_DATA, and others/ where there is one (files
CONTRAST_name.nii.gz). `--quick` takes the real scans, and changes and draws one head; `--rows FILE` keeps
what was measured; `--write` puts table and curves into docs/. `--check` ends with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from bench.gate_rows import Row, rows
from bench.gate_thresholds import answers, draw, table

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "explanation" / "quality-gate.md"
LEAST_REFUSED = 0.95


def main() -> int:
    """Judge every scan, print each one's outcome, the thresholds and the counts."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the real scans, one head changed, one drawn")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--rows", type=Path, help="file that keeps what was measured")
    parser.add_argument("--write", action="store_true", help="write the page and docs/pictures/gate.svg")
    given = parser.parse_args()
    found = []
    for row in rows(given.rows, quick=given.quick):
        print(line(row), flush=True)
        found.append(row)
    derived = answers(found)
    print("\n" + table(derived) + "\n\n" + counts(found) + "\n")
    if given.write:
        draw(derived, DOCS / "pictures" / "gate.svg")
        PAGE.write_text(page(found, table(derived)))
    missed = targets(found)
    for target in missed:
        print("MISSED", target)
    return 1 if given.check and missed else 0


def line(row: Row) -> str:
    """One scan's outcome and what decided it."""
    names = (
        "white_grey_ratio",
        "fluid_white_ratio",
        "ventricle_white_ratio",
        "white_dark_ratio",
        "same_neighbours",
        "overlap",
        "mirror_overlap",
    )
    figures = " ".join(f"{row.figures[name]:7.3f}" for name in names) if row.figures else ""
    verdict = f"{row.code}{', uncertain' * row.uncertain}"
    return f"{'  ' if row.right else '! '}{row.kind:8s}{row.contrast:12s}{row.name:52s}{verdict:24s}{figures}"


def counts(found: list[Row]) -> str:
    """Markdown: of every contrast and kind, how many were accepted, uncertain, and refused by which code."""
    lines = [
        "| contrast | kind | scans | accepted | of these uncertain | refused |",
        "|---|---|---|---|---|---|",
    ]
    for contrast, kind in dict.fromkeys((row.contrast, row.kind) for row in found):
        part = [row for row in found if (row.contrast, row.kind) == (contrast, kind)]
        codes = Counter(row.code for row in part if row.code != "ok")
        refused = ", ".join(f"{count} {code.removeprefix('quality.')}" for code, count in codes.most_common())
        accepted = [row for row in part if row.code == "ok"]
        unsure = sum(row.uncertain for row in accepted)
        lines.append(f"| {contrast} | {kind} | {len(part)} | {len(accepted)} | {unsure} | {refused or '-'} |")
    return "\n".join(lines)


def targets(found: list[Row]) -> list[str]:
    """What is missed: no T1 head refused, nearly all else refused, none of it called T1 with certainty."""
    lost = [row.name for row in found if row.wanted and row.code != "ok"]
    others = [row for row in found if not row.wanted]
    passed = [row for row in others if row.code == "ok"]
    sure = [row.name for row in passed if not row.uncertain]
    missed = [f"T1 heads refused: {', '.join(lost)}"] if lost else []
    if len(passed) > (1 - LEAST_REFUSED) * len(others):
        missed.append(f"{len(passed)} of {len(others)} other images are accepted")
    return missed + ([f"called T1 with certainty: {', '.join(sure)}"] if sure else [])


def page(found: list[Row], thresholds: str) -> str:
    """docs/explanation/quality-gate.md."""
    return f"""# Quality gate

Explanation, written by `python -m bench.gate --write`; do not edit. What the rules mean:
[preprocessing](preprocessing.md#gate).

## Thresholds

A threshold is derived as the middle between the nearest T1 scan and the nearest other image of one half of
the subjects; the last two columns are the other half, at the threshold in service. Real scans decide where it
is put between the two: drawings have no vessels and no artefacts.

{thresholds}

![ROC curves of the thresholds; the dot is the threshold in service](../pictures/gate.svg)

## Outcome

"Real" scans are as they came. What is neither T1 nor FLAIR among them lies in the folder `others` of
HIPPOCAMP_DATA: samples of the [niivue-demo-images](https://github.com/niivue/niivue-demo-images) repository.
"Changed" are real scans with simulated atrophy, coarser voxels, less contrast, noise or another contrast.
"Drawn" are whole heads from label maps, with lesions up to 45 ml.

{counts(found)}
"""


if __name__ == "__main__":
    sys.exit(main())
