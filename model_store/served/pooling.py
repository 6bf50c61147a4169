"""From the network's outputs for 32 slices to one calibrated answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .shapes import CELL, CELLS, DEEP, HEIGHT, PLACE, QUARTERS, SLICES, STRIDE, WIDTH, Floats

CLINICAL = ("mean", "scale", "weights", "slopes", "steps")


@dataclass(frozen=True)
class Forward:
    """Of v volumes: logits (v, 32, 3), evidence (v, 32, 3, h, w), features (v, 32, 4336).

    features: 2,048 of the network's last block, then the local contrast in 52 x 44 cells.
    """

    logits: Floats
    evidence: Floats
    features: Floats


def softmax(logits: npt.NDArray[Any]) -> Floats:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


class Pooling:
    """Turns the slices' outputs into one answer a volume; every constant was fitted on training subjects.

    `head.npz` holds scales (5,) of the network's features and of the contrast by quarter of the slab, 0 where
    it does not count: such a quarter has no columns among the k; nuisance (r, k) and damping (r,); direction
    (k,), offset (), slopes (3,), steps (3,) of the head; contrast (4, 2288), its weight of cells by quarter;
    temperature () and bias (3,); bag_direction (b, k), bag_slopes and bag_steps (b, 3), heads fitted on
    random halves of the subjects; conformal (), the 90 % quantile of 1 - p of the true class; ood_mean (k,),
    ood_basis (d, k), ood_scale (d,), ood_residual (), ood_unit (); and the clinical_... of the covariates'
    head.
    """

    def __init__(self, constants: dict[str, npt.NDArray[Any]]) -> None:
        self.constants = {name: np.asarray(value, dtype=np.float32) for name, value in constants.items()}

    @classmethod
    def load(cls, path: Path) -> Pooling:
        """Read `head.npz`."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(dict(stored))

    def volume_features(self, features: Floats) -> Floats:
        """(v, 32, 4336) -> (v, k = 2048 + 2288 a quarter that counts): means over slices, damped."""
        return self.damped(self.scaled(pooled(features)))

    def scaled(self, volume: Floats) -> Floats:
        """As `pooled` -> (v, k), see the function `scaled`."""
        return np.asarray(scaled(volume, self.constants["scales"]), dtype=np.float32)

    def damped(self, volume: Floats) -> Floats:
        """(v, k) less most of what a mere change of look does to it."""
        nuisance = self.constants["nuisance"]
        return np.asarray(volume - ((volume @ nuisance.T) * self.constants["damping"]) @ nuisance)

    def slice_logits(self, seen: Forward) -> Floats:
        """(v, 32, 3), whose mean over slices is the volume's logits: the network's, and the contrast's."""
        quarters = np.einsum("vgsk,gk->vgs", _quarters(seen.features[..., DEEP:]), self.constants["contrast"])
        share = QUARTERS * quarters.reshape(*seen.logits.shape[:2], 1)
        return np.asarray(seen.logits + share * self.constants["slopes"], dtype=np.float32)

    def maps(self, seen: Forward) -> Floats:
        """(v, 32, 3, 13, 11): ReLU of all evidence, in places of 16 x 16 pixels; its mean before it is the
        slice's logit less the head's bias.

        The network's evidence comes in few places and is spread between their middles; the contrast's is as
        fine as the map.
        """
        grid, shape = (HEIGHT // PLACE, WIDTH // PLACE), seen.evidence.shape
        rows, columns = (_spread(n, fine) for n, fine in zip(shape[-2:], grid, strict=True))
        deep = rows.T @ seen.evidence @ columns * (grid[0] * grid[1] / (shape[-2] * shape[-1]))
        cells = _quarters(seen.features[..., DEEP:]) * self.constants["contrast"][:, None]
        inside = PLACE // CELL
        cells = cells.reshape(*shape[:2], grid[0], inside, grid[1], inside).sum((3, 5)) * grid[0] * grid[1]
        added = QUARTERS * cells[:, :, None] * self.constants["slopes"][:, None, None]
        return np.asarray(np.maximum(deep + added, 0), dtype=np.float32)

    def probabilities(self, slice_logits: Floats) -> Floats:
        """(v, 32, 3) -> (v, 3): mean over slices, then the temperature (Guo et al. 2017)."""
        pooled = slice_logits.mean(axis=1)
        return softmax((pooled + self.constants["bias"]) / self.constants["temperature"])

    def severity(self, volume: Floats) -> Floats:
        """(v, k) volume features -> (v,)."""
        return np.asarray(volume @ self.constants["direction"] + self.constants["offset"])

    def clinical(self, volume: Floats, covariates: Floats) -> Floats:
        """(v, 3) with what is known of (v, 4) MMSE, age, sex (1 men), education; NaN where nothing is.

        One line a pattern of known covariates; the MMSE enters as log(31 - MMSE), because a point means more
        near the ceiling.
        """
        given = {name: self.constants[f"clinical_{name}"] for name in CLINICAL}
        known = np.array(covariates, dtype=np.float64)
        known[:, 0] = np.log(31 - np.clip(known[:, 0], 0, 30))
        known[:, 1] = np.clip(known[:, 1], 60, 100)  # the lines were fitted there, and would run on below
        columns = (np.column_stack([self.severity(volume), known]) - given["mean"]) / given["scale"]
        line = np.isfinite(known) @ (1 << np.arange(known.shape[1]))  # bit n: covariate n is known
        severity = (np.nan_to_num(columns) * given["weights"][line]).sum(axis=1, keepdims=True)
        found = softmax(severity * given["slopes"][line] + given["steps"][line])
        return np.where(line[:, None] > 0, found, np.float32(np.nan))

    def interval(self, volume: Floats, probabilities: Floats) -> Floats:
        """(v, 3, 2): 5th and 95th percentile over the bagged heads, widened to hold the probability."""
        severity = volume @ self.constants["bag_direction"].T
        logits = severity[..., None] * self.constants["bag_slopes"] + self.constants["bag_steps"]
        bagged = softmax((logits + self.constants["bias"]) / self.constants["temperature"])
        low, high = np.percentile(bagged, (5, 95), axis=1)
        ends = (np.minimum(low, probabilities), np.maximum(high, probabilities))
        return np.stack(ends, axis=-1).astype(np.float32)

    def out_of_distribution(self, volume: Floats) -> Floats:
        """(v,): Mahalanobis distance along the training features' main directions and off them.

        1.0 is the 99th percentile of held-out training subjects.
        """
        centred = volume - self.constants["ood_mean"]
        along = centred @ self.constants["ood_basis"].T
        rest = centred - along @ self.constants["ood_basis"]
        within = np.mean((along / self.constants["ood_scale"]) ** 2, axis=1)
        outside = np.mean(rest**2, axis=1) / self.constants["ood_residual"]
        return np.asarray(np.sqrt(within + outside) / self.constants["ood_unit"], dtype=np.float32)

    def prediction_set(self, probabilities: Floats) -> npt.NDArray[np.uint8]:
        """(v, 3) of 0 and 1: the classes a 90 % conformal set keeps; the likeliest class is always in."""
        kept = 1 - probabilities <= self.constants["conformal"]
        kept[np.arange(len(kept)), probabilities.argmax(axis=1)] = True
        return np.asarray(kept, dtype=np.uint8)


def pooled(features: Floats) -> Floats:
    """(v, 32, 4336) -> (v, 2048 + 4 * 2288): means over slices, and over quarters of the slab."""
    deep, contrast = features[..., :DEEP].mean(axis=1), _quarters(features[..., DEEP:]).mean(axis=2)
    return np.concatenate([deep, contrast.reshape(len(deep), -1)], axis=1)


def scaled(volume: npt.NDArray[Any], scales: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(v, 2048 + 4 * 2288) as pooled -> (v, k): by the scales, without the quarters whose scale is 0."""
    each = spread_scales(scales)
    return np.asarray((volume * each)[:, each > 0])


def spread_scales(scales: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(5,), of the network's features and of each quarter's contrast -> one for each column of `pooled`."""
    return np.repeat(scales, [DEEP] + [CELLS] * QUARTERS)


def _quarters(contrast: Floats) -> Floats:
    """(v, 32, cells) -> (v, 4, 8, cells), lowest quarter of the slab first."""
    return contrast.reshape(len(contrast), QUARTERS, SLICES // QUARTERS, -1)


def _spread(coarse: int, fine: int) -> Floats:
    """(coarse, fine): how the evidence of each place of the network lies over a finer line; rows sum to 1.

    A ResNet's places have their middles at whole strides from the first pixel, not at those of equal parts.
    """
    middles = (np.arange(fine) + 0.5) * PLACE - 0.5
    near = np.maximum(1 - np.abs(middles - np.arange(coarse)[:, None] * STRIDE) / STRIDE, 0)
    return np.asarray(near / near.sum(axis=1, keepdims=True), dtype=np.float32)
