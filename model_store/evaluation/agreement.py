"""Says how far the int8 network is from its float twin, on subjects that fixed neither ranges nor head.

`python -m model_store.evaluation.agreement --data $HIPPOCAMP_DATA`. The float twin is not stored: it is the
ImageNet network with the release's own head, and its trunk is not fine-tuned, so the weights file
rebuilds it exactly.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from model_store.release.build import REPEATS, calibration_rows, origin_of, slice_weights, source_digest
from model_store.release.calibration import Temperature
from model_store.release.digest import MANIFEST, RELEASE, file_digest, model_digest
from model_store.served.pooling import Pooling
from model_store.served.shapes import NETWORK, POOLING
from model_store.training.backbone import load_backbone
from model_store.training.cohort import Cohort, data_folder, read_cohort, weights_file
from model_store.training.features import Network, cohort_features
from model_store.training.head import Doubles, Head, fit_head
from model_store.training.network import SliceNetwork, build_float


@dataclass(frozen=True)
class Agreement:
    """int8 against float: `difference` is the mean |dp| over classes and volumes, `equal` a share."""

    volumes: int
    difference: float
    equal: float
    auc_float: float
    auc_int8: float


def float_twin(release: Path, weights: Path | None) -> SliceNetwork:
    """The ImageNet trunk with the release's head. SystemExit when the weights are not the release's."""
    manifest = json.loads((release / MANIFEST).read_text())
    origin = origin_of(weights)
    if manifest["imagenet_weights"] != origin:
        raise SystemExit(f"the release comes from weights {manifest['imagenet_weights']}, not {origin}")
    twin = build_float(*load_backbone(weights))
    constants = {n: v.astype(np.float64) for n, v in Pooling.load(release / POOLING).constants.items()}
    names = ("direction", "offset", "slopes", "steps")
    head = Head(**{name: constants[name] for name in names})  # type: ignore[arg-type]
    weight = np.outer(head.slopes, slice_weights(head, constants)[0])
    twin.set_head(torch.from_numpy(weight).float(), torch.from_numpy(head.bias).float())
    return twin


def compare(cohort: Cohort, volume_float: Doubles, volume_int8: Doubles, *, release: Path) -> Agreement:
    """Heads are fitted on the int8 features of four fifths of the subjects and compared on the others.

    volume_float, volume_int8: (subjects, k) volume features. Subjects that fixed the int8 ranges train but
    are not compared.
    """
    manifest = json.loads((release / MANIFEST).read_text())
    constants = Pooling.load(release / POOLING).constants
    scale = Temperature(float(constants["temperature"]), constants["bias"].astype(np.float64))
    compared = np.setdiff1d(np.arange(len(volume_int8)), calibration_rows(cohort, manifest["seed"]))
    truth, shape = cohort.truth, (REPEATS, len(volume_int8), 3)
    p_float, p_int8 = np.empty(shape), np.empty(shape)
    for repeat in range(REPEATS):
        for train, held in cohort.folds(5, manifest["seed"] + repeat):
            head = fit_head(volume_int8[train], truth.rows(train))
            p_float[repeat, held] = scale.probabilities(head.logits(volume_float[held]))
            p_int8[repeat, held] = scale.probabilities(head.logits(volume_int8[held]))
    old = compared[truth.primary[compared]]
    sick = truth.stages[old] > 0
    same = p_float.argmax(axis=2) == p_int8.argmax(axis=2)
    return Agreement(
        volumes=len(compared),
        difference=float(np.abs(p_float - p_int8)[:, compared].mean()),
        equal=float(same[:, compared].mean()),
        auc_float=float(np.mean([roc_auc_score(sick, 1 - p[old, 0]) for p in p_float])),
        auc_int8=float(np.mean([roc_auc_score(sick, 1 - p[old, 0]) for p in p_int8])),
    )


def measure(cohort: Cohort, weights: Path | None, release: Path) -> Agreement:
    """Run both networks over the cohort (about seven minutes of one core without a cache) and compare."""
    float_key = f"float {source_digest()} {origin_of(weights)}"
    int8: Network = torch.jit.load(str(release / NETWORK))
    of_float = cohort_features(float_twin(release, weights), cohort, key=float_key)
    of_int8 = cohort_features(int8, cohort, key=f"int8 {file_digest(release / NETWORK)} {source_digest()}")
    volumes = [
        Pooling.load(release / POOLING).volume_features(seen).astype(np.float64)
        for seen in (of_float, of_int8)
    ]
    return compare(cohort, *volumes, release=release)


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder that holds oasis1/ (default: $HIPPOCAMP_DATA)")
    parser.add_argument("--weights", help="the ImageNet weights the release was made from")
    parser.add_argument("--release", type=Path, default=RELEASE)
    chosen = parser.parse_args()
    folder = data_folder(chosen.data)
    found = measure(read_cohort(folder), weights_file(folder, chosen.weights), chosen.release)
    sys.stdout.write(
        f"model {model_digest(chosen.release)[:12]}: int8 against float, {found.volumes} held-out subjects\n"
        f"  mean |difference of probability|  {found.difference:.4f}\n"
        f"  equal labels                      {found.equal:.1%}\n"
        f"  AUC CDR>0, age >= 60              float {found.auc_float:.3f}  int8 {found.auc_int8:.3f}\n"
    )


if __name__ == "__main__":
    main()
