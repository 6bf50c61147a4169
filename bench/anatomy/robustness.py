"""The same head disturbed in known ways, and structures shrunk by a known amount: what the volumes say."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bench.anatomy.lines import Lines
from bench.anatomy.scans import MANUAL, Scan
from bench.heads import load_head, variants
from bench.preprocess_measures import examine as examine_volume
from contracts.errors import QualityRefused
from imaging.hemisphere import LEFT, RIGHT, Structure
from preprocessing_service.anatomy.boxes import cut_boxes
from preprocessing_service.anatomy.measurement import find
from preprocessing_service.anatomy.network import AnatomyNetwork
from preprocessing_service.anatomy.volumes import Millilitres, calibrated
from preprocessing_service.pipeline import examine
from preprocessing_service.steps.quality import Prepared

Floats = npt.NDArray[np.float32]
REACH = 5.0
"""mm over which a simulated change fades."""

CHANGES = ((Structure.HIPPOCAMPUS, 0.25), (Structure.HIPPOCAMPUS, 0.5), (Structure.LATERAL_VENTRICLE, -0.5))
"""Structure and how far its surface moves inward, mm."""


@dataclass(frozen=True)
class Change:
    """One head's volumes against what they should be. error: measured / expected - 1, by structure."""

    head: str
    variant: str
    error: dict[Structure, float]
    refused: str = ""


@dataclass(frozen=True)
class Atrophy:
    """true, measured: relative change of both sides' volume."""

    scan: str
    structure: Structure
    true: float
    measured: float


def total(ml: Millilitres, structure: Structure) -> float:
    """ml of both sides."""
    return ml[structure, LEFT] + ml[structure, RIGHT]


def millilitres(head: Prepared, network: AnatomyNetwork, lines: Lines) -> Millilitres:
    """Calibrated volumes of a prepared head."""
    return calibrated(find(cut_boxes(head), network).measured(), lines)


def disturbed(name: str, network: AnatomyNetwork, lines: Lines, *, quick: bool) -> Iterator[Change]:
    """Every variant of one head of bench.heads against the undisturbed one."""
    head = load_head(name)
    plain = millilitres(examine_volume(head), network, lines)
    for variant in variants(head, quick=quick):
        size = abs(float(np.linalg.det(variant.moved[:3, :3])))
        try:
            seen = millilitres(examine_volume(variant.volume), network, lines)
        except QualityRefused as refused:
            yield Change(name, variant.name, {}, refused.code)
            continue
        error = {one: total(seen, one) / (total(plain, one) * size) - 1 for one in Structure}
        yield Change(name, variant.name, error)


def mirrored_sides(name: str, network: AnatomyNetwork, lines: Lines) -> float:
    """Largest relative difference between left of a head and right of its mirror image, and the reverse."""
    head = load_head(name)
    turned = next(one for one in variants(head, quick=True) if one.name == "mirrored header")
    plain = millilitres(examine_volume(head), network, lines)
    mirror = millilitres(examine_volume(turned.volume), network, lines)
    pairs = [(plain[one, a], mirror[one, b]) for one in Structure for a, b in ((LEFT, RIGHT), (RIGHT, LEFT))]
    return max(abs(a - b) / a for a, b in pairs)


def atrophied(scan: Scan, network: AnatomyNetwork, lines: Lines) -> Iterator[Atrophy]:
    """Each of CHANGES put on one scan; what is true is the change of the manual label under the same warp."""
    image = nib.load(scan.brain)
    voxels = np.asarray(image.dataobj).astype(np.float32)  # type: ignore[attr-defined]
    plain = millilitres(scan.prepared(), network, lines)
    for structure, millimetres in CHANGES:
        mask = np.isin(scan.manual[0], [MANUAL[structure, side] for side in (LEFT, RIGHT)])
        places = shrunk_places(mask, millimetres)
        label = ndimage.map_coordinates(mask.astype(np.float32), places, order=1)
        warped = ndimage.map_coordinates(voxels, places, order=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scan_t1_brain.nii.gz"
            nib.save(nib.Nifti1Image(warped, image.affine), path)  # type: ignore[attr-defined]
            seen = millilitres(examine(path)[1], network, lines)
        measured = total(seen, structure) / total(plain, structure) - 1
        yield Atrophy(scan.name, structure, float(label.sum() / mask.sum()) - 1, measured)


def shrunk_places(mask: npt.NDArray[np.bool_], millimetres: float) -> Floats:
    """(3, x, y, z) voxel coordinates to read at, so that the mask's surface moves inward; 1 mm voxels."""
    signed = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    signed = ndimage.gaussian_filter(signed.astype(np.float32), 1.0)
    outward = np.stack(np.gradient(signed)) * np.exp(-np.abs(signed) / REACH)
    return np.asarray(np.indices(mask.shape, dtype=np.float32) + np.float32(millimetres) * outward)
