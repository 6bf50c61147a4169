"""Measures the released recipe on subjects it did not see, beside baselines and an alarm for leakage.

Run as `python -m model_store.evaluate --data $HIPPOCAMP_DATA [--check]`. Repeated subject-level
cross-validation: direction, stages and temperature are fitted on the training folds only. The int8 trunk
is not trained on labels, so its features may be computed once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from model_store.evaluation import metrics
from model_store.evaluation.agreement import measure
from model_store.evaluation.contenders import (
    REPEATS,
    cross_validate,
    images_only,
    logistic,
    majority,
    nested,
    random_label_alarm,
    with_covariates,
)
from model_store.evaluation.throughput import FLOAT, SHIPPED_INT8, rates
from model_store.release.build import look_stacks, released_seed, source_digest
from model_store.release.digest import RELEASE, file_digest, model_digest
from model_store.served.pooling import Pooling, pooled
from model_store.served.shapes import NETWORK, POOLING
from model_store.training.cohort import Cohort, data_folder, read_cohort, weights_file
from model_store.training.features import cohort_features
from model_store.training.head import Doubles, Labels
from model_store.training.nuisance import look_moves
from model_store.training.recipe import SHIPPED
from model_store.training.selection import Candidate, Selection, candidates

IMAGES_TARGET, CLINICAL_TARGET, ALARM = 0.80, 0.90, 0.62
TIMES_FASTER = 3.5


@dataclass(frozen=True)
class Check:
    """A promise and whether the figures keep it."""

    name: str
    kept: bool


def bands(cohort: Cohort) -> Iterator[tuple[str, Labels]]:
    """Names and rows of the groups that figures are told for."""
    age, sex = cohort.truth.age, cohort.table["sex"].to_numpy()
    yield "age >= 60", np.flatnonzero(age >= 60)
    yield "age 60-74", np.flatnonzero((age >= 60) & (age < 75))
    yield "age >= 75", np.flatnonzero(age >= 75)
    yield "women >= 60", np.flatnonzero((age >= 60) & (sex == "F"))
    yield "men >= 60", np.flatnonzero((age >= 60) & (sex == "M"))
    yield "all ages", np.arange(len(age))


def print_images(cohort: Cohort, images: Doubles) -> dict[str, object]:
    """The released recipe by group, then its other figures; all of them again as data.

    images: (repeats, n, 3).
    """
    stages, say = cohort.truth.stages, sys.stdout.write
    groups = {
        name: (rows, metrics.estimate(metrics.auc, images[:, rows], stages[rows]))
        for name, rows in bands(cohort)
    }
    say(f"images only, {REPEATS} x 5-fold by subject; 95 % bootstrap intervals over subjects\n")
    for name, (rows, found) in groups.items():
        say(f"  {name:12s} n={len(rows):3d}  AUC {found}\n")
    old = np.flatnonzero(cohort.truth.primary)
    figures = (metrics.balanced_accuracy, metrics.kappa, metrics.calibration_error)
    others = {one.__name__: metrics.estimate(one, images[:, old], stages[old]) for one in figures}
    for name, value in others.items():
        say(f"  {name:18s} {value}\n")
    table = np.mean([metrics.confusion(p[old], stages[old]) for p in images], axis=0)
    say(f"  confusion, age >= 60 (rows true):\n{np.array2string(table, precision=1)}\n")
    auc = {name: {"subjects": len(rows), **asdict(found)} for name, (rows, found) in groups.items()}
    return {"auc": auc, **{n: asdict(v) for n, v in others.items()}, "confusion": table.round(1).tolist()}


def rivals(cohort: Cohort, shipped: Candidate, selection: Selection) -> dict[str, Doubles]:
    """Held-out probabilities of everything the released recipe is compared with."""
    truth = cohort.truth
    images = nested(selection, lambda candidate: images_only(candidate, truth))
    covariates = nested(selection, lambda candidate: with_covariates(candidate, cohort))
    nwbv = np.nan_to_num(truth.nwbv, nan=float(np.nanmean(truth.nwbv)))[:, None]
    mmse = np.nan_to_num(truth.mmse, nan=float(np.nanmean(truth.mmse)))[:, None]
    return {
        "images + covariates": cross_validate(cohort, with_covariates(shipped, cohort)),
        "images, nested": cross_validate(cohort, images),
        "both, nested": cross_validate(cohort, covariates),
        "MMSE alone": cross_validate(cohort, logistic(mmse, truth)),
        "nWBV alone": cross_validate(cohort, logistic(nwbv, truth)),
        "features + logistic": cross_validate(cohort, logistic(shipped.volume, truth, strength=1e-4)),
        "majority": cross_validate(cohort, majority(truth), repeats=1),
    }


@dataclass(frozen=True)
class Report:
    """What was promised and whether it holds; the figures as data; p(CDR > 0) and truth at age >= 60."""

    checks: list[Check]
    figures: dict[str, object]
    sick: Doubles
    truth: Labels


def report(cohort: Cohort, shipped: Candidate, selection: Selection) -> Report:
    """Print every table, of the shipped recipe and of one that each training fold chooses for itself."""
    old = np.flatnonzero(cohort.truth.primary)
    stages = cohort.truth.stages[old]
    images = cross_validate(cohort, images_only(shipped, cohort.truth))
    figures = print_images(cohort, images)
    found = {"images": images, **rivals(cohort, shipped, selection)}
    aucs = {name: metrics.estimate(metrics.auc, p[:, old], stages) for name, p in found.items()}
    for name, value in aucs.items():
        sys.stdout.write(f"  {name:20s} AUC {value}\n")
    for recipe, times in selection.popularity[:3]:
        sys.stdout.write(f"  chosen in {times} of {REPEATS * 5} folds: {recipe}\n")
    alarm = random_label_alarm(shipped, cohort)
    figures |= {"rivals": {name: asdict(value) for name, value in aucs.items()}, "random_labels": alarm}
    best, joint = aucs["images"].value, aucs["images + covariates"].value
    parts = max(best, aucs["MMSE alone"].value)
    checks = [
        Check(f"images AUC {best:.3f} >= {IMAGES_TARGET}", best >= IMAGES_TARGET),
        Check(f"images + covariates AUC {joint:.3f} >= {CLINICAL_TARGET}", joint >= CLINICAL_TARGET),
        Check(f"images + covariates AUC {joint:.3f} >= either part's, {parts:.3f}", joint >= parts),
        Check(f"random labels AUC {alarm:.3f} <= {ALARM}", alarm <= ALARM),
    ]
    return Report(checks, figures, 1 - images[:, old, 0], stages)


def draw_reliability(found: Report, path: Path) -> None:
    """Told against found share of CDR > 0, ten bins of equal count over all repeats, with the told spread."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    told, sick, counts = metrics.reliability(found.sick, found.truth)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    error = 1.96 * np.sqrt(sick * (1 - sick) / (counts / len(found.sick)))
    axes.errorbar(told, sick, yerr=error, fmt="o-", capsize=3)
    axes.set(xlabel="told p(CDR > 0)", ylabel="share with CDR > 0", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"{len(found.truth)} left-out subjects aged 60 or more", fontsize=10)
    figure.savefig(path, dpi=110)


def quantization(cohort: Cohort, weights: Path | None) -> list[Check]:
    """Promises about int8 against its float twin: as exact, and faster."""
    found, speed = measure(cohort, weights, RELEASE), rates(weights)
    faster = speed[SHIPPED_INT8] / speed[FLOAT]
    return [
        Check(f"int8 {faster:.2f} x float32's slices a second >= {TIMES_FASTER}", faster >= TIMES_FASTER),
        Check(f"int8 mean |dp| {found.difference:.4f} <= 0.01", found.difference <= 0.01),
        Check(f"int8 equal labels {found.equal:.1%} >= 99 %", found.equal >= 0.99),
        Check("int8 AUC loss <= 0.005", found.auc_float - found.auc_int8 <= 0.005),
    ]


def main() -> None:
    """Parse the command line; with --check the exit status is 1 unless every promise is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder that holds oasis1/ (default: $HIPPOCAMP_DATA)")
    parser.add_argument("--weights", help="the ImageNet weights the release was made from")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--out", type=Path, help="folder for figures.json and reliability.png")
    chosen = parser.parse_args()
    folder = data_folder(chosen.data)
    cohort = read_cohort(folder)
    network = torch.jit.load(str(RELEASE / NETWORK))
    key = f"int8 {file_digest(RELEASE / NETWORK)} {source_digest()}"
    features = cohort_features(network, cohort, key=key)
    sys.stdout.write(f"model {model_digest()}\n")
    volume = Pooling.load(RELEASE / POOLING).volume_features(features).astype(np.float64)
    moves = look_moves(network, look_stacks(cohort, released_seed(RELEASE)))
    selection = Selection(candidates(pooled(features), moves), cohort.truth)
    found = report(cohort, Candidate(SHIPPED, volume), selection)
    checks = found.checks + quantization(cohort, weights_file(folder, chosen.weights))
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        draw_reliability(found, chosen.out / "reliability.png")
        kept = {check.name: check.kept for check in checks}
        (chosen.out / "figures.json").write_text(
            json.dumps({**found.figures, "checks": kept}, indent=1) + "\n"
        )
    for check in checks:
        sys.stdout.write(f"{'kept  ' if check.kept else 'MISSED'} {check.name}\n")
    if chosen.check and not all(check.kept for check in checks):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
