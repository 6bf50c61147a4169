"""Label maps as the generator wants them: one hemisphere each, on its own grid, with its place in MNI152.

The maps come from the SynthSeg repository (BBillot/SynthSeg, Apache-2.0, data/training_label_maps) and are
not part of this one. `python -m model_store.anatomy.label_maps FOLDER OUT` makes the sources once.
Each map is drawn as a T1 picture and aligned by `python -m preprocessing_service`, so that it lies in MNI152
as a real scan would.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from imaging.hemisphere import LEFT, RIGHT, SHAPE, box_to_mni
from model_store.anatomy.codes import CSF, HIPPOCAMPUS, OTHER, SULCUS, TARGET, VESSEL, Labels, seen_from

FOLDER_VARIABLE = "HIPPOCAMP_LABEL_MAPS"
MISSING = {"seg_07": LEFT}
"""This map has only 1.4 ml of left hippocampus; the rest is missing."""

MARGIN = 10
"""mm kept around the box, so that a deformation finds anatomy beyond its edge."""

REACHES = (9.0, 5.0, 5.0)
"""mm over which growth of lateral ventricle, inferior horn and hippocampus fades."""

GROWING = (3, 2, 1)
"""Their classes, in that order."""

Bytes = npt.NDArray[np.int8]
Matrix = npt.NDArray[np.float64]
_LEVELS = {
    1: 202, 2: 122, 3: 40, 4: 45, 5: 195, 6: 115, 7: 165, 8: 135, 9: 145, 10: 180, 11: 40, 12: 40, 13: 185,
    14: 122, 15: 120, 16: 40, 17: 130, 18: 175, 19: 60, 20: 150, 21: 60, 22: 60, 23: 150, 24: 80,
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One hemisphere of a label map.

    labels: (x, y, z) on the map's own grid. outward: (3, x, y, z, 3) int8, a hundred times the direction away
    from each of GROWING, fading with distance. to_own: (4, 4), voxel of the box -> voxel of `labels`.
    """

    name: str
    labels: Labels
    outward: Bytes
    to_own: Matrix


def load_sources(folder: Path) -> list[Source]:
    """Every stored hemisphere, in the order of their names."""
    out = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as parts:
            out.append(Source(path.stem, parts["labels"], parts["outward"], parts["to_own"]))
    return out


def make_sources(maps: Path, out: Path) -> None:
    """Store both hemispheres of every `*.nii.gz` in `maps`, less MISSING; SystemExit when there is none."""
    out.mkdir(parents=True, exist_ok=True)
    files = sorted(maps.glob("*.nii.gz"))
    if not files:
        raise SystemExit(
            f"{maps} holds no .nii.gz label maps; see model_store/anatomy/CARD.md for their origin"
        )
    for file in files:
        stem = file.name.split(".")[0]
        for source in () if any(out.glob(f"{stem}-*.npz")) else sources_of(file):
            np.savez_compressed(
                out / f"{source.name}.npz",
                labels=source.labels,
                outward=source.outward,
                to_own=source.to_own,
            )


def sources_of(file: Path) -> Iterator[Source]:
    """The hemispheres of one label map."""
    image: Any = nib.as_closest_canonical(nib.load(file))  # type: ignore[no-untyped-call]
    codes, stem = np.asarray(image.dataobj).astype(np.int16), file.name.split(".")[0]
    from_mni = np.linalg.inv(image.affine) @ align(seen_from(codes, LEFT), image.affine)
    for side in (LEFT, RIGHT):
        if MISSING.get(stem) != side:
            yield _cut(f"{stem}-{'lr'[side]}", seen_from(codes, side), from_mni @ box_to_mni(side))


def align(labels: Labels, affine: Matrix) -> Matrix:
    """(4, 4): MNI152 mm -> mm of the map, from a picture of it that goes through preprocessing."""
    tissue = labels % OTHER
    brain = (tissue > 0) & (tissue != CSF)
    brain |= ndimage.binary_dilation(brain, iterations=2) & (tissue == CSF)
    brain = ndimage.binary_fill_holes(brain)
    table = np.zeros(OTHER)
    table[list(_LEVELS)] = list(_LEVELS.values())
    rng = np.random.default_rng(0)
    grey = ndimage.gaussian_filter(table[tissue], 0.6) + rng.normal(0, 4, tissue.shape)
    picture = (np.clip(grey, 1, 255) * brain).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "brain.nii.gz"
        nib.save(nib.Nifti1Image(picture, affine), path)  # type: ignore[no-untyped-call]
        command = [sys.executable, "-m", "preprocessing_service", str(path), "-o", folder]
        # The gate may refuse a drawing (exit status 1); the alignment is written all the same.
        done = subprocess.run(command, check=False, capture_output=True, timeout=600, text=True)  # noqa: S603
        if not (Path(folder) / "affine.txt").exists():
            raise RuntimeError(f"preprocessing could not align the drawing: {done.stderr}")
        return np.loadtxt(Path(folder) / "affine.txt")


def _cut(name: str, labels: Labels, to_own: Matrix) -> Source:
    corners = np.stack(np.meshgrid(*[(-MARGIN, n + MARGIN) for n in SHAPE])).reshape(3, -1)
    at = to_own[:3, :3] @ corners + to_own[:3, 3:]
    low = np.maximum(np.floor(at.min(1)).astype(int), 0)
    high = np.minimum(np.ceil(at.max(1)).astype(int) + 1, labels.shape)
    cut = np.ascontiguousarray(labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
    moved = to_own.copy()
    moved[:3, 3] -= low
    filled = fill_sulcus(cut)
    return Source(name, filled, outward_from(TARGET[filled]), moved)


def fill_sulcus(labels: Labels) -> Labels:
    """SULCUS where the hippocampus, closed by 2 mm, holds fluid, vessel or nothing, or encloses anything."""
    own = labels == HIPPOCAMPUS
    closed = ndimage.binary_closing(own, ndimage.generate_binary_structure(3, 1), iterations=2)
    fluid = np.isin(labels, (0, CSF, VESSEL))
    filled = ndimage.binary_fill_holes(own | (closed & fluid)) & ~own
    return np.where(filled & ~np.isin(TARGET[labels], (2, 3, 4)), np.uint8(SULCUS), labels)


def outward_from(target: Labels) -> Bytes:
    """(3, x, y, z, 3): see Source.outward."""
    out = np.zeros((len(GROWING), *target.shape, 3), np.int8)
    for n, (value, reach) in enumerate(zip(GROWING, REACHES, strict=True)):
        mask = target == value
        signed = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
        signed = ndimage.gaussian_filter(signed.astype(np.float32), 1.2)
        slope = np.stack(list(np.gradient(signed)), -1) * np.exp(-np.abs(signed) / reach)[..., None]
        out[n] = np.clip(slope * 100, -127, 127).astype(np.int8)
    return out


def chosen_folder(given: Path | None) -> Path:
    """The folder of label maps: the one given, else HIPPOCAMP_LABEL_MAPS; SystemExit says what to set."""
    named = given or (Path(os.environ[FOLDER_VARIABLE]) if os.environ.get(FOLDER_VARIABLE) else None)
    if named is None or not named.is_dir():
        raise SystemExit(
            f"no label maps at {named}: give --label-maps FOLDER or set {FOLDER_VARIABLE}; "
            "model_store/anatomy/CARD.md says where they come from"
        )
    return named


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maps", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    make_sources(chosen_folder(given.maps), given.out)
