"""What stands beside our network in the same run: MeshNet, hippodeep and the mean of the label maps.

The two networks' weights are not part of this repository (MIT): give --weights FOLDER, or set HIPPOCAMP_DATA,
with meshnet30_18cls.npz and hippodeep_hippo.npz in weights/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from bench.anatomy.scans import Bytes, Key
from imaging.grid import Grid
from imaging.hemisphere import LEFT, RIGHT, SHAPE, Structure
from preprocessing_service.anatomy.boxes import OTHER_SIDE, to_box
from preprocessing_service.steps.quality import Prepared
from preprocessing_service.steps.resample import resample
from preprocessing_service.volume import Matrix

Floats = npt.NDArray[np.float32]
MESHNET_CLASSES = {
    Structure.LATERAL_VENTRICLE: 3,
    Structure.INFERIOR_HORN: 4,
    Structure.HIPPOCAMPUS: 14,
    Structure.AMYGDALA: 15,
}


@dataclass(frozen=True)
class Answer:
    """labels: on the scan's own grid, right plus OTHER_SIDE. ml: (structure, side) -> volume."""

    labels: Bytes
    ml: dict[Key, float]


Reference = Callable[[Prepared, Matrix, tuple[int, int, int]], Answer]
"""(head, affine and shape of the grid to answer on) -> answer."""


def references(weights: Path | None, sources: Path | None) -> dict[str, Reference]:
    """Those whose files are there."""
    found: dict[str, Reference] = {}
    if weights and (weights / "meshnet30_18cls.npz").exists():
        meshnet = MeshNet(dict(np.load(weights / "meshnet30_18cls.npz")))
        found["MeshNet"] = meshnet.answer
    if weights and (weights / "hippodeep_hippo.npz").exists():
        found["hippodeep"] = Hippodeep(dict(np.load(weights / "hippodeep_hippo.npz"))).answer
    if sources and sources.is_dir():
        found["atlas prior"] = Atlas(sources).answer
    return found


def answered(labels: Bytes, voxel_ml: float, structures: Mapping[Structure, object]) -> Answer:
    """Volumes by counting voxels."""
    ml = {
        (one, side): float(np.count_nonzero(labels == one + OTHER_SIDE * side)) * voxel_ml
        for one in structures
        for side in (LEFT, RIGHT)
    }
    return Answer(labels, ml)


def by_side(labels: Bytes, head: Prepared, affine: Matrix) -> Bytes:
    """Merged labels split at the midline of the alignment."""
    matrix = np.linalg.inv(head.alignment.matrix) @ affine
    at = np.argwhere(labels > 0)
    right = at @ matrix[0, :3] + matrix[0, 3] > 0
    out = labels.copy()
    out[tuple(at[right].T)] += np.uint8(OTHER_SIDE)
    return out


class MeshNet:
    """MeshNet with 30 channels and 18 classes (niivue/brainchop): 1 mm, dilated convolutions."""

    def __init__(self, weights: dict[str, npt.NDArray[np.float32]]) -> None:
        self.layers = [
            (
                torch.from_numpy(weights[f"w{n}"]),
                torch.from_numpy(weights[f"b{n}"]),
                int(weights[f"dilation{n}"]),
            )
            for n in range(sum(name.startswith("w") for name in weights))
        ]

    def answer(self, head: Prepared, affine: Matrix, shape: tuple[int, int, int]) -> Answer:
        """It wants axes along left, inferior, anterior, and intensities up to 1."""
        grid = Grid(np.linalg.inv(head.alignment.matrix) @ affine, (shape[2], shape[1], shape[0]))
        brain = resample(head.volume, head.brain, head.alignment, head.tissues, grid=grid).T
        order, flips = _to_left_inferior_anterior(affine)
        turned = np.flip(brain.transpose(order), flips)
        box = tuple(slice(max(0, int(i.min()) - 4), int(i.max()) + 5) for i in np.nonzero(turned > 0))
        cut = np.clip(turned[box] / np.quantile(turned[turned > 0], 0.999), 0, 1)
        found = np.zeros(turned.shape, np.uint8)
        found[box] = self.classes(np.ascontiguousarray(cut, dtype=np.float32))
        found = np.flip(found, flips).transpose(np.argsort(order))
        labels = np.zeros(shape, np.uint8)
        for structure, number in MESHNET_CLASSES.items():
            labels[found == number] = structure
        voxel_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
        return answered(by_side(labels, head, affine), voxel_ml, MESHNET_CLASSES)

    def classes(self, cut: Floats) -> Bytes:
        """The most probable class of every voxel."""
        x = torch.from_numpy(cut)[None, None].contiguous(memory_format=torch.channels_last_3d)
        with torch.inference_mode():
            for n, (weight, bias, dilation) in enumerate(self.layers):
                edge = dilation * (weight.shape[2] // 2)
                weight = weight.contiguous(memory_format=torch.channels_last_3d)
                x = functional.conv3d(x, weight, bias, padding=edge, dilation=dilation)
                x = functional.elu_(x) if n < len(self.layers) - 1 else x
            return x[0].argmax(0).numpy().astype(np.uint8)


def _to_left_inferior_anterior(affine: Matrix) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(order of axes, axes to flip) that bring a grid to left, inferior, anterior."""
    axes = [int(np.abs(affine[world, :3]).argmax()) for world in (0, 2, 1)]
    wanted = (-1, -1, 1)
    flips = tuple(n for n, (world, axis) in enumerate(zip((0, 2, 1), axes, strict=True))
                  if np.sign(affine[world, axis]) != wanted[n])  # fmt: skip
    return tuple(axes), flips


class Hippodeep:
    """hippodeep's hippocampus network (bthyreau/hippodeep_pytorch; Thyreau et al. 2018) on our alignment."""

    GRID = Grid(
        np.array([[-1.0, 0, 0, 54], [0, 1, 0, -59], [0, 0, 1, -45], [0, 0, 0, 1]]),
        (68, 72, 107),
    )

    def __init__(self, weights: dict[str, npt.NDArray[np.float32]]) -> None:
        self.weights = {name: torch.from_numpy(value) for name, value in weights.items()}

    def answer(self, head: Prepared, affine: Matrix, shape: tuple[int, int, int]) -> Answer:
        """Both sides in one batch, the left one mirrored; read back linearly on the grid that is asked."""
        crop = resample(head.volume, head.brain, head.alignment, head.tissues, grid=self.GRID).T
        crop = (crop - crop.mean()) / crop.std()
        pair = np.stack([crop[6:54, :, 2:-2], crop[-7:-55:-1, :, 2:-2]])[:, None]
        right, left = self.probability(torch.from_numpy(np.ascontiguousarray(pair)))
        out, ml = np.zeros(shape, np.uint8), {}
        scale = float(abs(np.linalg.det(head.alignment.matrix[:3, :3]))) / 1000
        for side, probability, where in (
            (RIGHT, right, np.s_[6:54, :, 2:-2]),
            (LEFT, left, np.s_[-7:-55:-1, :, 2:-2]),
        ):
            whole = np.zeros(crop.shape, np.float32)
            whole[where][2:-2, 2:-2, 2:-2] = probability
            matrix = np.linalg.inv(head.alignment.matrix @ self.GRID.to_mni) @ affine
            read = ndimage.affine_transform(whole, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1)
            out[read > 0.5] = Structure.HIPPOCAMPUS + OTHER_SIDE * side
            ml[Structure.HIPPOCAMPUS, side] = float(probability.sum()) * scale
        return Answer(out, ml)

    def probability(self, x: Tensor) -> Floats:
        """(2, 1, 48, 72, 64) -> (2, 44, 68, 60), stretched as its authors do."""
        with torch.inference_mode():
            p = self._network(x)[:, 0].numpy()
        return np.asarray(np.clip((p - 0.5) * 2 + 0.5, 0, 1) * (p > 0.5), dtype=np.float32)

    def _network(self, x: Tensor) -> Tensor:
        for name in ("conv0a_0", "conv0a_1", "conv0a", "convf1"):
            x = self._conv(x, name, 0).relu()
        first = x
        x = self._residual(functional.max_pool3d(x, 2), "bn1", ("convout0", "convout1"))
        x = self._residual(functional.max_pool3d(x, 2), "bn2", ("convout2p", "convout2"))
        for name in ("convlx3", "convlx5", "convlx7"):
            x = self._conv(x, name, 1).relu()
            x = functional.interpolate(x, scale_factor=2, mode="nearest") if name != "convlx7" else x
        coarse = torch.sigmoid(self._conv(x, "convlx8", 0))
        x = torch.sigmoid(self._conv(coarse, "blur", 3)) * first
        x = functional.leaky_relu(self._conv(x, "conv_extract", 1))
        x = self._conv(torch.cat([coarse, x], 1), "convmix", 1).relu()
        return torch.sigmoid(self._conv(x, "convout1x", 0))

    def _residual(self, x: Tensor, norm: str, names: tuple[str, str]) -> Tensor:
        parts = (self.weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        y = self._conv(functional.batch_norm(x, *parts), names[0], 1).relu()
        return (self._conv(y, names[1], 1) + x).relu()

    def _conv(self, x: Tensor, name: str, edge: int) -> Tensor:
        return functional.conv3d(
            x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], padding=edge
        )


class Atlas:
    """Where each structure lies on average in the label maps, laid on the head by the affine alone."""

    def __init__(self, sources: Path) -> None:
        from model_store.anatomy.deformation import read_geometry, unmoved
        from model_store.anatomy.label_maps import load_sources

        shares = np.zeros((5, *SHAPE), np.float32)
        found = load_sources(sources)
        for source in found:
            shares += read_geometry(unmoved(source), np.zeros(32, np.float32)).shares / len(found)
        self.shares = shares

    def answer(self, head: Prepared, affine: Matrix, shape: tuple[int, int, int]) -> Answer:
        """The most frequent class of every voxel."""
        labels = np.zeros(shape, np.uint8)
        for side in (LEFT, RIGHT):
            matrix = to_box(head.alignment.matrix, side) @ affine
            read = [
                ndimage.affine_transform(
                    share, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1, cval=n == 0
                )
                for n, share in enumerate(self.shares)
            ]
            found = np.argmax(read, 0).astype(np.uint8)
            labels = np.where((found > 0) & (labels == 0), found + np.uint8(OTHER_SIDE * side), labels)
        voxel_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
        return answered(labels.astype(np.uint8), voxel_ml, dict.fromkeys(Structure))
