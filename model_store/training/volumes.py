"""Labelled heads for training: slice folders as they are, or volumes with a table that are prepared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.progress import track
from sklearn.model_selection import StratifiedGroupKFold

from contracts.stack import Stack
from model_store.training.cohort import read_cohort
from model_store.training.head import Labels

COLUMNS = {
    "subject": ("participant", "participant_id", "subject"),
    "path": ("path", "filename"),
    "label": ("label", "cdr"),
    "site": ("site",),
}
"""What a column of the table may be called; case does not matter."""
NAMED = {"nondemented": 0, "verymilddemented": 1, "milddemented": 2, "moderatedemented": 2}


class BadTableError(ValueError):
    """The table lacks a column, names a file that is not there, or holds a label that is no stage."""


@dataclass(frozen=True)
class Heads:
    """stacks (n, 32, 208, 176) uint8; stages (n,) in 0, 1, 2; groups (n,): rows of one subject share one."""

    subjects: list[str]
    stacks: npt.NDArray[np.uint8]
    stages: Labels
    groups: Labels

    def split(self, share: float, seed: int) -> tuple[Labels, Labels]:
        """(training, validation) rows, stratified by stage; no subject is on both sides."""
        folds = max(2, round(1 / share))
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        train, held = next(iter(splitter.split(np.zeros(len(self.stages)), self.stages, self.groups)))
        return train.astype(np.int64), held.astype(np.int64)


def slice_folder(folder: Path) -> Heads:
    """A folder with subjects.csv and slices/<subject>/NN.jpg; subjects without `cdr` are left out."""
    cohort = read_cohort(folder)
    rows = np.flatnonzero(np.isfinite(cohort.column("cdr")))
    if not len(rows):
        raise BadTableError(f"{folder / 'subjects.csv'} holds no CDR")
    names = [cohort.subjects[row] for row in rows]
    stacks = np.stack([cohort.stack(name) for name in names])
    return Heads(names, stacks, cohort.truth.stages[rows], np.arange(len(rows)))


def volume_folder(folder: Path, table: Path, prepared: Path) -> Heads:
    """Volumes named by a table (tsv or csv), each prepared once into `prepared` by our own pipeline.

    Volumes that the pipeline refuses are left out with a line that says so. Errors: BadTableError.
    """
    rows = read_table(folder, table)
    found = [(row, stack) for row, stack in _prepared(rows, prepared) if stack is not None]
    if not found:
        raise BadTableError(f"no volume of {table} could be prepared")
    kept = rows.iloc[[row for row, _ in found]]
    groups = np.asarray(pd.factorize(kept["subject"])[0], dtype=np.int64)
    stacks = np.stack([stack for _, stack in found])
    return Heads(
        [str(name) for name in kept["subject"]], stacks, kept["stage"].to_numpy(dtype=np.int64), groups
    )


def read_table(folder: Path, table: Path) -> pd.DataFrame:
    """Columns subject, path (absolute), stage, and whatever else the table holds. Errors: BadTableError."""
    rows = pd.read_csv(table, sep="\t" if table.suffix == ".tsv" else ",", dtype=str)
    rows.columns = pd.Index([str(name).strip().lower() for name in rows.columns])
    for name, spellings in COLUMNS.items():
        there = [spelling for spelling in spellings if spelling in rows]
        if not there and name != "site":
            raise BadTableError(
                f"{table} needs a column {' or '.join(spellings)}; it has {list(rows.columns)}"
            )
        if there:
            rows[name] = rows[there[0]]
    rows["stage"] = [stage_of(str(label)) for label in rows["label"]]
    rows["path"] = [str((folder / path).resolve()) for path in rows["path"]]
    if missing := [path for path in rows["path"] if not Path(path).is_file()]:
        raise BadTableError(f"{len(missing)} volumes are not there, first {missing[0]}")
    return rows


def stage_of(label: str) -> int:
    """0, 1 or 2 from a CDR (0, 0.5, 1, 2, 3, also `CDR 0.5`, `>=1`) or a name such as MildDemented."""
    bare = label.strip().lower().removeprefix("cdr").strip(" =>≥")
    if (named := bare.replace(" ", "")) in NAMED:
        return NAMED[named]
    try:
        return {0.0: 0, 0.5: 1, 1.0: 2, 2.0: 2, 3.0: 2}[float(bare)]
    except (ValueError, KeyError):
        raise BadTableError(f"label {label!r} is no stage: CDR 0, 0.5, 1, 2 or 3 is wanted") from None


def _prepared(rows: pd.DataFrame, folder: Path) -> Iterator[tuple[int, npt.NDArray[np.uint8] | None]]:
    for row, path in enumerate(track(rows["path"], "preparing volumes")):
        yield row, _prepare(Path(path), folder / f"{row:05d}")


def _prepare(volume: Path, folder: Path) -> npt.NDArray[np.uint8] | None:
    """By the command of the pipeline: training and service share the steps, not the code."""
    stored = folder / "stack.npz"
    if not stored.is_file():
        done = subprocess.run(  # noqa: S603  our own module
            [sys.executable, "-m", "preprocessing_service", str(volume), "-o", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(
                f"left out {volume}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}\n"
            )
            stored.unlink(missing_ok=True)
            return None
    return Stack.from_bytes(stored.read_bytes()).slices
