"""Scans with manual labels: NNNN_t1_brain.nii.gz beside NNNN_labels.nii.gz."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from imaging.hemisphere import LEFT, RIGHT, Structure
from preprocessing_service.pipeline import examine
from preprocessing_service.steps.quality import Prepared

Bytes = npt.NDArray[np.uint8]
Key = tuple[Structure, int]
PAIRS = (("1003", "1023"), ("1004", "1024"), ("1005", "1025"), ("1018", "1038"), ("1019", "1039"))
"""One person on two days, in the MICCAI 2012 multi-atlas scans."""

OLDER = "11"
"""Their names begin so: 38 years and more."""

MANUAL: dict[Key, int] = {
    (Structure.HIPPOCAMPUS, RIGHT): 47, (Structure.HIPPOCAMPUS, LEFT): 48,
    (Structure.INFERIOR_HORN, RIGHT): 49, (Structure.INFERIOR_HORN, LEFT): 50,
    (Structure.LATERAL_VENTRICLE, RIGHT): 51, (Structure.LATERAL_VENTRICLE, LEFT): 52,
    (Structure.AMYGDALA, RIGHT): 31, (Structure.AMYGDALA, LEFT): 32,
}  # fmt: skip
"""Neuromorphometrics' numbers."""


@dataclass(frozen=True)
class Scan:
    """name: four digits. person: the name of this person's first scan."""

    name: str
    brain: Path
    labels: Path
    person: str

    @property
    def older(self) -> bool:
        """Whether it belongs to the older group."""
        return self.name.startswith(OLDER)

    @cached_property
    def manual(self) -> tuple[Bytes, npt.NDArray[np.float64]]:
        """The manual labels on the scan's own grid, and that grid: (4, 4) voxel -> mm."""
        image: Any = nib.load(self.labels)
        return np.asarray(image.dataobj).astype(np.uint8), np.asarray(image.affine, dtype=np.float64)

    @property
    def voxel_ml(self) -> float:
        """ml that one voxel of the manual labels holds."""
        return float(abs(np.linalg.det(self.manual[1][:3, :3]))) / 1000

    def manual_ml(self, key: Key) -> float:
        """Manual volume."""
        return float(np.count_nonzero(self.manual[0] == MANUAL[key])) * self.voxel_ml

    def prepared(self) -> Prepared:
        """The scan after the whole of preprocessing."""
        return examine(self.brain)[1]


def list_scans(folder: Path, pairs: Iterable[Sequence[str]] = PAIRS) -> list[Scan]:
    """Every scan of a folder; SystemExit when it holds none."""
    again = {second: first for first, second in pairs}
    found = []
    for brain in sorted(folder.glob("*_t1_brain.nii.gz")):
        name = brain.name.removesuffix("_t1_brain.nii.gz")
        found.append(Scan(name, brain, folder / f"{name}_labels.nii.gz", again.get(name, name)))
    if not found:
        raise SystemExit(
            f"{folder} holds no NNNN_t1_brain.nii.gz with NNNN_labels.nii.gz; give --data FOLDER"
        )
    return found


def data_folder(given: Path | None) -> Path:
    """--data, else anatomy/ of HIPPOCAMP_DATA; SystemExit says what to set."""
    root = os.environ.get("HIPPOCAMP_DATA")
    folder = given or (Path(root) / "anatomy" if root else None)
    if folder is None or not folder.is_dir():
        raise SystemExit("give --data FOLDER or set HIPPOCAMP_DATA to the folder that holds anatomy/")
    return folder
