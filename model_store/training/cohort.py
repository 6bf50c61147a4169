"""The labelled slice folders: one row and one stack a subject, and splits that never cut through one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from model_store.served.shapes import HEIGHT, SLICES, WIDTH
from model_store.training.head import Labels, Truth


@dataclass(frozen=True)
class Cohort:
    """folder: holds slices/<subject>/NN.jpg; table: one row a subject, in the order of all arrays."""

    folder: Path
    table: pd.DataFrame

    @property
    def subjects(self) -> list[str]:
        """Names of the slice folders."""
        return [str(name) for name in self.table["subject"]]

    @property
    def truth(self) -> Truth:
        """Stages (CDR 1 and 2 are one: two subjects have CDR 2) and the signs that training reads."""
        stages = np.asarray(np.digitize(self.column("cdr"), [0.25, 0.75]), dtype=np.int64)
        return Truth(stages, self.column("mmse"), self.column("nwbv"), self.column("age"))

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """(n,) a numeric column; NaN where unknown."""
        return np.asarray(self.table[name].to_numpy(dtype=float))

    def stack(self, subject: str) -> npt.NDArray[np.uint8]:
        """(32, 208, 176) uint8. Errors: FileNotFoundError, ValueError on another picture size."""
        return read_stack(self.folder / "slices" / subject)

    def stacks(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Every subject's stack, in order."""
        return (self.stack(subject) for subject in self.subjects)

    def folds(self, count: int, seed: int) -> list[tuple[Labels, Labels]]:
        """(train, validation) rows, one row being one subject; stratified by stage and by the primary age."""
        truth = self.truth
        strata = truth.stages * 2 + truth.primary
        splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
        return [(train, held) for train, held in splitter.split(np.zeros(len(strata)), strata)]


def data_folder(given: str | None = None) -> Path:
    """The oasis1 folder, by argument or $HIPPOCAMP_DATA (itself or its parent); SystemExit if absent."""
    root = given or os.environ.get("HIPPOCAMP_DATA")
    if not root:
        raise SystemExit("no data: pass --data or set HIPPOCAMP_DATA to the folder that holds oasis1/")
    for candidate in (Path(root), Path(root) / "oasis1"):
        if (candidate / "slices").is_dir():
            return candidate
    raise SystemExit(f"no data: {root} holds neither slices/ nor oasis1/slices/")


def weights_file(folder: Path, given: str | None = None) -> Path | None:
    """The ImageNet weights beside the data folder; None (torchvision's own) when there are none."""
    path = Path(given) if given else folder.parent / "weights" / "resnet50_imagenet_fp16.pth"
    if given and not path.is_file():
        raise SystemExit(f"no weights at {path}")
    return path if path.is_file() else None


def read_cohort(folder: Path) -> Cohort:
    """Read `subjects.csv`; every column but `subject` may be absent or empty (subjects without labels)."""
    table = pd.read_csv(folder / "subjects.csv")
    if "subject" not in table or table["subject"].duplicated().any():
        raise ValueError(f"{folder / 'subjects.csv'} must name every subject once in a column `subject`")
    for name in ("cdr", "age", "mmse", "educ", "nwbv"):
        if name not in table:
            table[name] = np.nan
    if "sex" not in table:
        table["sex"] = pd.Series([None] * len(table), dtype=object)
    return Cohort(folder=folder, table=table)


def read_stack(folder: Path) -> npt.NDArray[np.uint8]:
    """01.jpg ... 32.jpg as (32, 208, 176) uint8."""
    stack = np.empty((SLICES, HEIGHT, WIDTH), dtype=np.uint8)
    for index in range(SLICES):
        path = folder / f"{index + 1:02d}.jpg"
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"))
        if grey.shape != (HEIGHT, WIDTH):
            raise ValueError(f"{path} is {grey.shape}, wanted ({HEIGHT}, {WIDTH})")
        stack[index] = grey
    return stack
