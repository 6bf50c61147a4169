"""Builds the release folder: quantize, fit the head on int8 features, calibrate, write the manifest.

Run as `python -m model_store.release --data $HIPPOCAMP_DATA --seed 20`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from model_store.release.calibration import conformal_threshold, fit_temperature, fit_typical
from model_store.release.digest import MANIFEST, RELEASE, file_digest
from model_store.served import softening
from model_store.served.pooling import Pooling, pooled, spread_scales
from model_store.served.shapes import DEEP, NETWORK, POOLING, QUARTERS, Floats
from model_store.served.softening import softened
from model_store.training import network
from model_store.training.backbone import load_backbone
from model_store.training.clinical import fit_clinical, signs
from model_store.training.cohort import Cohort, data_folder, read_cohort, weights_file
from model_store.training.features import cohort_features
from model_store.training.head import Doubles, Head, fit_head, left_out_severity
from model_store.training.looks import Stack
from model_store.training.network import SliceNetwork, build_float, freeze, quantize
from model_store.training.nuisance import Nuisance, fit_look, look_moves
from model_store.training.recipe import SHIPPED

FOLDS, REPEATS, BAGS = 5, 4, 48
HALVES = ("nuisance", "bag_direction", "ood_basis")
"""Constants that are stored in half precision."""
CALIBRATION_SUBJECTS = 24


def calibration_rows(cohort: Cohort, seed: int) -> npt.NDArray[np.int64]:
    """Rows of the training subjects whose slices fix the int8 ranges."""
    return np.sort(np.random.default_rng(seed).permutation(len(cohort.subjects))[:CALIBRATION_SUBJECTS])


def released_seed(release: Path) -> int:
    """The seed that a release was built with."""
    return int(json.loads((release / MANIFEST).read_text())["seed"])


def calibration_batches(cohort: Cohort, seed: int) -> list[torch.Tensor]:
    """All slices of the calibration subjects, a batch each."""
    return [
        torch.from_numpy(softened(cohort.stack(cohort.subjects[row])[None])[0])
        for row in calibration_rows(cohort, seed)
    ]


def held_out_logits(volume: Doubles, cohort: Cohort, seed: int) -> Doubles:
    """(repeats, subjects, 3): logits of heads that did not see the subject."""
    truth = cohort.truth
    logits = np.empty((REPEATS, len(volume), 3))
    for repeat in range(REPEATS):
        for train, held in cohort.folds(FOLDS, seed + repeat):
            logits[repeat, held] = fit_head(volume[train], truth.rows(train)).logits(volume[held])
    return logits


def bagged_heads(volume: Doubles, cohort: Cohort, seed: int) -> list[Head]:
    """Heads fitted on random halves of the subjects.

    Halves rather than bootstrap samples, in which a subject drawn twice would sit on both sides of the
    inner split; for a mean the spread of halves is that of the bootstrap (Politis & Romano 1994).
    """
    chooser, truth = np.random.default_rng(seed + 2), cohort.truth
    samples = (chooser.permutation(len(volume))[: len(volume) // 2] for _ in range(BAGS))
    return [fit_head(volume[rows], truth.rows(rows)) for rows in samples]


def look_stacks(cohort: Cohort, seed: int) -> Iterator[Stack]:
    """The subjects that are shown with their look changed: half of those that fix the int8 ranges."""
    return (cohort.stack(cohort.subjects[row]) for row in calibration_rows(cohort, seed)[::2])


def slice_weights(head: Head, look: dict[str, Doubles]) -> tuple[Doubles, Doubles]:
    """(2048,) and (4, 2288): the head's direction as weights of slice features as they come.

    Zero in the quarters that do not count.
    """
    nuisance = Nuisance(look["nuisance"], look["damping"])
    weights = spread_scales(look["scales"])
    weights[weights > 0] *= nuisance.damped(head.direction[None])[0]
    return weights[:DEEP], weights[DEEP:].reshape(QUARTERS, -1)


def head_constants(head: Head, look: dict[str, Doubles]) -> dict[str, Doubles]:
    """What `Pooling` needs of a head beside its look."""
    return {
        "direction": head.direction,
        "offset": np.array(head.offset),
        "slopes": head.slopes,
        "steps": head.steps,
        "contrast": slice_weights(head, look)[1],
    }


def put_head(int8: SliceNetwork, head: Head, look: dict[str, Doubles]) -> None:
    """Have the network's own logits and evidence follow this head."""
    weight = np.outer(head.slopes, slice_weights(head, look)[0])
    int8.set_head(torch.from_numpy(weight).float(), torch.from_numpy(head.bias).float())


def fit_pooling(
    volume: Doubles, look: dict[str, Doubles], cohort: Cohort, *, seed: int
) -> tuple[Head, Pooling]:
    """The head and every other constant; volume: (subjects, k) damped volume features of the int8 network."""
    head = fit_head(volume, cohort.truth)
    logits = held_out_logits(volume, cohort, seed)
    rows = np.flatnonzero(cohort.truth.primary)
    stages = cohort.truth.stages[rows]
    scale = fit_temperature(logits[:, rows].reshape(-1, 3), np.tile(stages, REPEATS))
    thresholds = [conformal_threshold(scale.probabilities(one[rows]), stages) for one in logits]
    bags = bagged_heads(volume, cohort, seed)
    clinical = fit_clinical(left_out_severity(volume, cohort.truth), signs(cohort.table), cohort.truth)
    return head, Pooling(
        {
            **look,
            **head_constants(head, look),
            "temperature": np.array(scale.temperature),
            "bias": scale.bias,
            "bag_direction": np.stack([bag.direction for bag in bags]),
            "bag_slopes": np.stack([bag.slopes for bag in bags]),
            "bag_steps": np.stack([bag.bias for bag in bags]),
            "conformal": np.array(np.mean(thresholds)),
            "ood_unit": np.array(_unit(volume, cohort, seed)),
            **fit_typical(volume),
            **clinical,
        }
    )


def _unit(volume: Doubles, cohort: Cohort, seed: int) -> float:
    """99th percentile of the distance of subjects that the constants were not fitted on."""
    distance = np.empty(len(volume), dtype=np.float32)
    for train, held in cohort.folds(FOLDS, seed):
        pooling = Pooling({**fit_typical(volume[train]), "ood_unit": np.array(1)})
        distance[held] = pooling.out_of_distribution(volume[held].astype(np.float32))
    return float(np.percentile(distance, 99))


def write_release(out: Path, int8: SliceNetwork, pooling: Pooling, *, about: dict[str, object]) -> None:
    """Write network, constants and the manifest that names both by SHA-256."""
    out.mkdir(parents=True, exist_ok=True)
    example = torch.zeros((2, 208, 176), dtype=torch.uint8)
    freeze(int8, example).save(str(out / NETWORK))
    stored = {n: v.astype(np.float16) if n in HALVES else v for n, v in pooling.constants.items()}
    np.savez(out / POOLING, **stored)  # type: ignore[arg-type]
    seal(out, about)


def seal(release: Path, about: dict[str, object]) -> None:
    """Write the manifest: what made the release, and the SHA-256 of every file in it, model card included."""
    files = {path.name: file_digest(path) for path in sorted(release.iterdir()) if path.name != MANIFEST}
    (release / MANIFEST).write_text(json.dumps({**about, "files": files}, indent=2) + "\n")


def origin_of(weights: Path | None) -> str:
    """What names the ImageNet weights in the manifest: their SHA-256, or torchvision's name."""
    return file_digest(weights) if weights else "torchvision IMAGENET1K_V1"


def source_digest() -> str:
    """Names the code that decides what features are, so that cached ones are of this code."""
    return " ".join(file_digest(Path(str(module.__file__)))[:16] for module in (network, softening))


def quantized(cohort: Cohort, weights: Path | None, *, seed: int) -> tuple[SliceNetwork, Floats]:
    """The int8 network, its head still unset, and the slices' features (subjects, 32, 4336)."""
    int8 = quantize(build_float(*load_backbone(weights)), calibration_batches(cohort, seed))
    key = f"int8 {source_digest()} {origin_of(weights)} seed {seed}"
    return int8, cohort_features(int8, cohort, key=key)


def build(out: Path, cohort: Cohort, weights: Path | None, *, seed: int) -> None:
    """The whole release; about two minutes on one core with VNNI."""
    int8, features = quantized(cohort, weights, seed=seed)
    moves = look_moves(int8, look_stacks(cohort, seed))
    look = fit_look(pooled(features), moves, SHIPPED)
    volume = Pooling(look).volume_features(features).astype(np.float64)
    head, pooling = fit_pooling(volume, look, cohort, seed=seed)
    put_head(int8, head, look)
    command = f"python -m model_store.release --data $HIPPOCAMP_DATA --seed {seed}"
    about: dict[str, object] = {"command": command, "seed": seed, "imagenet_weights": origin_of(weights)}
    write_release(out, int8, pooling, about=about)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder that holds oasis1/ (default: $HIPPOCAMP_DATA)")
    parser.add_argument(
        "--weights", help="v1 ResNet50 state dict (default: beside oasis1/, else torchvision's)"
    )
    parser.add_argument("--out", type=Path, default=RELEASE)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument(
        "--seal", action="store_true", help="only rewrite the manifest, after a change of the card"
    )
    chosen = parser.parse_args()
    if chosen.seal:
        seal(chosen.out, json.loads((chosen.out / MANIFEST).read_text()))
        return
    folder = data_folder(chosen.data)
    build(chosen.out, read_cohort(folder), weights_file(folder, chosen.weights), seed=chosen.seed)


if __name__ == "__main__":
    main()
