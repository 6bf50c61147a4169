"""Scores slice folders with the shipped int8 model, so that held-back subjects can be judged elsewhere.

Run as `python -m model_store.predict --slices FOLDER --output FILE.csv`; FOLDER holds
slices/<subject>/NN.jpg and subjects.csv, of which only the column `subject` is read. Without that table every
folder in slices/ is a subject. A slice that is missing or cannot be read is replaced by its nearest
neighbour; a subject without any slice gets the frequencies of the training data. Both are said on stderr.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from rich.progress import track

from model_store.release.digest import RELEASE, model_digest
from model_store.served.model import Model
from model_store.served.shapes import HEIGHT, SLICES, WIDTH
from model_store.training.cohort import data_folder

FREQUENCIES = (0.42, 0.41, 0.17)
"""Stages of the training subjects aged 60 or more: all that can be said of a subject without slices."""
HEADER = ("subject", "p_cdr0", "p_cdr05", "p_cdr1")


def subjects(folder: Path) -> list[str]:
    """Names in subjects.csv, else of the folders in slices/. ValueError when the table names none."""
    table = folder / "subjects.csv"
    if not table.is_file():
        return sorted(path.name for path in (folder / "slices").iterdir() if path.is_dir())
    rows = pd.read_csv(table, dtype=str)
    if "subject" not in rows:
        raise ValueError(f"{table} has no column `subject`, it has {list(rows.columns)}")
    return list(dict.fromkeys(rows["subject"].dropna()))


def read_what_is_there(folder: Path) -> tuple[npt.NDArray[np.uint8] | None, int]:
    """((32, 208, 176) uint8 or None when there is no slice at all, number of slices that were replaced)."""
    found: dict[int, npt.NDArray[np.uint8]] = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        grey = _picture(path)
        if grey is not None and path.stem.isdigit() and 1 <= int(path.stem) <= SLICES:
            found[int(path.stem) - 1] = grey
    if not found:
        return None, SLICES
    nearest = [min(found, key=lambda there: abs(there - wanted)) for wanted in range(SLICES)]
    return np.stack([found[index] for index in nearest]), SLICES - len(found)


def _picture(path: Path) -> npt.NDArray[np.uint8] | None:
    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"))
    except (UnidentifiedImageError, OSError, SyntaxError):
        return None
    return grey if grey.shape == (HEIGHT, WIDTH) else None


def predict(folder: Path, model: Model) -> Iterator[tuple[str, float, float, float]]:
    """(subject, p_cdr0, p_cdr05, p_cdr1), in the table's order."""
    for subject in track(subjects(folder), "scoring", console=Console(stderr=True)):
        stack, replaced = read_what_is_there(folder / "slices" / subject)
        if replaced:
            sys.stderr.write(f"{subject}: {replaced} of {SLICES} slices missing or unreadable\n")
        p = FREQUENCIES if stack is None else model.answer(stack[np.newaxis])["probabilities"][0]
        yield subject, float(p[0]), float(p[1]), float(p[2])


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write the table, whole or not at all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--release", type=Path, default=RELEASE)
    chosen = parser.parse_args(arguments)
    model_digest(chosen.release)  # refuse a release that is not what its manifest says
    rows = list(predict(data_folder(chosen.slices), Model(chosen.release, threads=os.cpu_count() or 1)))
    fresh = chosen.output.with_name(chosen.output.name + ".new")
    with fresh.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(HEADER)
        writer.writerows((name, *(f"{p:.6f}" for p in values)) for name, *values in rows)
    fresh.replace(chosen.output)


if __name__ == "__main__":
    main()
