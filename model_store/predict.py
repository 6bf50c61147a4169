"""Scores slice folders with the shipped int8 model, so that held-back subjects can be judged elsewhere.

Run as `python -m model_store.predict --slices FOLDER --output FILE.csv`; FOLDER holds
slices/<subject>/NN.jpg and subjects.csv, of which only the column `subject` is read.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np
from rich.progress import track

from model_store.cohort import Cohort, data_folder, read_cohort
from model_store.digest import RELEASE, model_digest
from model_store.handler import Model


def predict(cohort: Cohort, model: Model) -> list[tuple[str, float, float, float]]:
    """(subject, p_cdr0, p_cdr05, p_cdr1), in the cohort's order."""
    rows = []
    for subject in track(cohort.subjects, "scoring"):
        p = model.answer(cohort.stack(subject)[np.newaxis])["probabilities"][0]
        rows.append((subject, float(p[0]), float(p[1]), float(p[2])))
    return rows


def main() -> None:
    """Parse the command line and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--release", type=Path, default=RELEASE)
    chosen = parser.parse_args()
    model_digest(chosen.release)  # refuse a release that is not what its manifest says
    model = Model(chosen.release, threads=os.cpu_count() or 1)
    rows = predict(read_cohort(data_folder(chosen.slices)), model)
    with chosen.output.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("subject", "p_cdr0", "p_cdr05", "p_cdr1"))
        writer.writerows((name, *(f"{p:.6f}" for p in values)) for name, *values in rows)


if __name__ == "__main__":
    main()
