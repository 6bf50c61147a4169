"""Real heads and known disturbances of them: what preprocessing must take in its stride."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from preprocessing_service.brain_extraction.network import coarse_network
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.read import read
from preprocessing_service.steps.strip import strip
from preprocessing_service.volume import Matrix, Volume

Floats = npt.NDArray[np.float32]
HEADS = ("colin27_T1w.nii.gz", "ds000031_T1w.nii.gz", "uih_t1_gre_3d_sag_dicom.zip")
FIELD_OF_VIEW = 256
"""mm and voxels of the canvas that turned heads are drawn on."""


@dataclass(frozen=True)
class Variant:
    """A disturbed head. moved: (4, 4), mm in the original's world -> mm in the variant's."""

    name: str
    volume: Volume
    moved: Matrix


def volumes_folder() -> Path:
    """`volumes` of HIPPOCAMP_DATA; SystemExit says what to set."""
    root = os.environ.get("HIPPOCAMP_DATA")
    folder = Path(root) / "volumes" if root else None
    if folder is None or not folder.is_dir():
        raise SystemExit("set HIPPOCAMP_DATA to the folder that holds volumes/ and oasis1/")
    return folder


def load_head(name: str) -> Volume:
    """One undisturbed head as contiguous float32, axes along RAS."""
    volume = conform(read(volumes_folder() / name))
    voxels = volume.voxels.astype(np.float32) * np.float32(volume.slope) + np.float32(volume.intercept)
    return Volume(np.ascontiguousarray(voxels), volume.affine)


def turned(angles: tuple[float, float, float], shift: tuple[float, float, float] = (0, 0, 0)) -> Matrix:
    """(4, 4): rotation about x, then y, then z in degrees, then a shift in mm."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(angles)):
        p, q = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(4)
        one[[p, q], [p, q]] = np.cos(angle)
        one[p, q], one[q, p] = -np.sin(angle), np.sin(angle)
        matrix = one @ matrix
    matrix[:3, 3] = shift
    return matrix


def redraw(head: Volume, moved: Matrix, zooms: tuple[float, float, float] = (1, 1, 1)) -> Volume:
    """The head moved by `moved` and read anew, linearly, on an upright canvas that holds all of it."""
    centre = moved @ head.affine @ np.array([*(np.array(head.shape) - 1) / 2, 1])
    shape = tuple(int(FIELD_OF_VIEW / zoom) for zoom in zooms)
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    to_voxel = np.linalg.inv(moved @ head.affine) @ affine
    # A thick slice averages what it covers: blur along thick axes before reading.
    widths = np.maximum(0, np.array(zooms) ** 2 - 1) ** 0.5 / 2.355 / head.zooms
    voxels = ndimage.gaussian_filter(head.voxels, widths) if widths.any() else head.voxels
    out = ndimage.affine_transform(voxels, to_voxel[:3, :3], to_voxel[:3, 3], shape, order=1)
    return Volume(np.ascontiguousarray(out, dtype=np.float32), affine)


def biased(head: Volume, strength: float, seed: int = 0) -> Volume:
    """Multiplied by a second-order field; its logarithm's standard deviation in the head is `strength`."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in head.shape], indexing="ij")
    weights = np.random.default_rng(seed).normal(size=6)
    x, y, z = axes
    shape = sum(w * t for w, t in zip(weights, (x, y, z, x * y, y * z, x * x - z * z), strict=True))
    assert not isinstance(shape, int)
    return _scaled_field(head, shape, strength)


def coil_biased(head: Volume, strength: float) -> Volume:
    """Multiplied by the joint sensitivity of four small coils near the head: no polynomial."""
    centre = head.affine @ np.array([*(np.array(head.shape) - 1) / 2, 1])
    grid = np.indices(head.shape, dtype=np.float32).reshape(3, -1)
    world = (head.affine[:3, :3] @ grid + (head.affine[:3, 3] - centre[:3])[:, None]).astype(np.float32)
    coils = np.array([[110, 40, 30], [-110, 30, 20], [20, -130, 10], [0, 40, 130]], np.float32)
    near = [np.exp(-((np.linalg.norm(world - coil[:, None], axis=0) / 90) ** 2)) for coil in coils]
    shape = np.log(0.15 + np.sum(near, axis=0)).reshape(head.shape)
    return _scaled_field(head, shape, strength)


def _scaled_field(head: Volume, shape: Floats, strength: float) -> Volume:
    lit = head.voxels > np.mean(head.voxels)
    shape = (shape - shape[lit].mean()) / shape[lit].std()
    return head.with_view((head.voxels * np.exp(strength * shape)).astype(np.float32), head.affine)


def noisy(head: Volume, share: float, seed: int = 0) -> Volume:
    """Rician noise with a standard deviation of `share` of the 98th percentile."""
    rng = np.random.default_rng(seed)
    spread = np.float32(share * np.percentile(head.voxels, 98))
    real = head.voxels + spread * rng.standard_normal(head.shape, np.float32)
    return head.with_view(np.hypot(real, spread * rng.standard_normal(head.shape, np.float32)), head.affine)


def cropped(head: Volume, low: float, high: float) -> Volume:
    """Only the planes from `low` to `high` (shares of the vertical extent); the voxels stay in place."""
    first, last = int(head.shape[2] * low), int(head.shape[2] * high)
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    return head.with_view(np.ascontiguousarray(head.voxels[:, :, first:last]), affine)


def neck_share(head: Volume) -> float:
    """The share of the vertical extent that lies more than 5 mm below the brain."""
    seen = strip(head, coarse_network)
    lowest = int(np.flatnonzero((seen.inside > 0.5).any(axis=(0, 1)))[0]) / seen.inside.shape[2]
    return max(0.0, lowest - 5 / float(head.zooms[2]) / head.shape[2])


def relabelled(head: Volume, moved: Matrix) -> Volume:
    """Only the header moves: the same voxels, another world."""
    return head.with_view(head.voxels, moved @ head.affine)


def reordered(head: Volume, order: tuple[int, ...], backwards: tuple[bool, ...]) -> Volume:
    """Stored along other axes; every voxel keeps its place in the world."""
    turn = np.eye(4)
    turn[:3, :3] = 0
    for axis, stored in enumerate(order):
        turn[stored, axis] = -1 if backwards[axis] else 1
        turn[stored, 3] = head.shape[stored] - 1 if backwards[axis] else turn[stored, 3]
    steps = tuple(slice(None, None, -1 if back else 1) for back in backwards)
    return head.with_view(np.asfortranarray(head.voxels.transpose(order)[steps]), head.affine @ turn)


def variants(head: Volume, *, quick: bool = False) -> Iterator[Variant]:
    """Every disturbance the targets name, made one at a time."""
    still = np.eye(4)
    for name, moved in _motions().items():
        if not quick or name in ("pitch 40", "roll -25", "scale 1.25"):
            yield Variant(name, redraw(head, moved), moved)
    makers: dict[str, Callable[[], Volume]] = {
        "1 x 1 x 3 mm": lambda: redraw(head, still, (1, 1, 3)),
        "2 mm": lambda: redraw(head, still, (2, 2, 2)),
        "bias 0.12": lambda: biased(head, 0.12),
        "bias 0.20": lambda: biased(head, 0.2, seed=1),
        "bias of coils 0.20": lambda: coil_biased(head, 0.2),
        "noise 5 %": lambda: noisy(head, 0.05),
        "noise 9 %": lambda: noisy(head, 0.09, seed=1),
        "neck cut": lambda: cropped(head, neck_share(head), 1.0),
        "top cut": lambda: cropped(head, 0.0, 0.9),
    }
    for name, make in makers.items():
        if not quick or name in ("1 x 1 x 3 mm", "bias of coils 0.20", "top cut"):
            yield Variant(name, make(), still)
    mirror = np.diag([-1.0, 1, 1, 1])
    yield Variant("mirrored header", relabelled(head, mirror), mirror)
    far = turned((0, 0, 0), (60, -60, 60))
    yield Variant("shift 60 mm", relabelled(head, far), far)


def orders(head: Volume) -> Iterator[Variant]:
    """All 48 ways of storing the same voxels."""
    for order, backwards in product(permutations(range(3)), product((False, True), repeat=3)):
        yield Variant(f"order {order} {backwards}", reordered(head, order, backwards), np.eye(4))


def _motions() -> dict[str, Any]:
    shear = np.eye(4)
    shear[0, 1], shear[1, 2] = 0.1, -0.08
    squeezed = np.diag([0.9, 1.1, 1.0, 1.0])
    return {
        **{f"pitch {a}": turned((a, 0, 0)) for a in (-40, -25, 25, 40)},
        **{f"roll {a}": turned((0, a, 0)) for a in (-40, -25, 25, 40)},
        **{f"yaw {a}": turned((0, 0, a)) for a in (-40, -25, 25, 40)},
        "mixed turn": turned((20, -15, 25), (10, -20, 15)),
        "scale 0.8": np.diag([0.8, 0.8, 0.8, 1.0]),
        "scale 1.25": np.diag([1.25, 1.25, 1.25, 1.0]),
        "squeezed": squeezed,
        "shear": shear,
    }
