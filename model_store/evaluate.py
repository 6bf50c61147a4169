"""Measures the released recipe on subjects it did not see, beside baselines and an alarm for leakage.

Run as `python -m model_store.evaluate --data $HIPPOCAMP_DATA [--check]`. Repeated subject-level
cross-validation: direction, stages and temperature are fitted on the training folds only. The int8 trunk
is not trained on labels, so its features may be computed once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_store import metrics
from model_store.agreement import measure
from model_store.clinical import fit_clinical, signs
from model_store.cohort import Cohort, data_folder, read_cohort, weights_file
from model_store.digest import RELEASE, file_digest, model_digest
from model_store.features import cohort_features
from model_store.head import Doubles, Labels, Truth, fit_head, left_out_severity
from model_store.served.pooling import Pooling, softmax
from model_store.served.shapes import NETWORK, POOLING

REPEATS = 6
IMAGES_TARGET, CLINICAL_TARGET, ALARM = 0.80, 0.90, 0.62
Fit = Callable[[Labels, Labels], Doubles]
"""(training rows, held-out rows) -> (held-out, 3) probabilities."""


@dataclass(frozen=True)
class Check:
    """A promise and whether the figures keep it."""

    name: str
    kept: bool


def cross_validate(cohort: Cohort, fit: Fit, *, repeats: int = REPEATS) -> Doubles:
    """(repeats, n, 3) probabilities, each subject's by a fit that did not see it."""
    found = np.empty((repeats, len(cohort.subjects), 3))
    for repeat in range(repeats):
        for train, held in cohort.folds(5, 1000 + repeat):
            found[repeat, held] = fit(train, held)
    return found


def images_only(volume: Doubles, truth: Truth) -> Fit:
    """The released recipe."""

    def fit(train: Labels, held: Labels) -> Doubles:
        logits = fit_head(volume[train], truth.rows(train)).logits(volume[held])
        return np.asarray(softmax(logits), dtype=np.float64)

    return fit


def with_covariates(volume: Doubles, cohort: Cohort) -> Fit:
    """The clinical head beside the image; its image severities in training are left-out ones."""
    known = signs(cohort.table)
    truth = cohort.truth

    def fit(train: Labels, held: Labels) -> Doubles:
        head = fit_head(volume[train], truth.rows(train))
        seen = left_out_severity(volume[train], truth.rows(train))
        lines = fit_clinical(seen, known[train], truth.rows(train))
        pooling = Pooling({**lines, "direction": head.direction, "offset": np.array(head.offset)})
        found = pooling.clinical(volume[held].astype(np.float32), known[held].astype(np.float32))
        alone = softmax(head.logits(volume[held]))
        return np.where(np.isfinite(found), found, alone).astype(np.float64)

    return fit


def logistic(columns: Doubles, truth: Truth, *, strength: float = 1.0) -> Fit:
    """Plain logistic regression of CDR > 0 on (n, k) columns, the usual baseline."""

    def fit(train: Labels, held: Labels) -> Doubles:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        model.fit(columns[train], truth.stages[train] > 0)
        p = model.predict_proba(columns[held])[:, 1]
        return np.stack([1 - p, p, np.zeros_like(p)], axis=1)

    return fit


def majority(truth: Truth) -> Fit:
    """The training folds' frequencies."""

    def fit(train: Labels, held: Labels) -> Doubles:
        return np.tile(np.bincount(truth.stages[train], minlength=3) / len(train), (len(held), 1))

    return fit


def random_label_alarm(volume: Doubles, cohort: Cohort, *, rounds: int = 10) -> float:
    """Mean AUC, age >= 60, with labels dealt to other subjects of the same age group; chance is 0.5."""
    truth = cohort.truth
    found = []
    for seed in range(rounds):
        order = np.arange(len(truth.stages))
        for group in (truth.primary, ~truth.primary):
            order[group] = np.random.default_rng(seed).permutation(order[group])
        dealt = truth.rows(order)
        p = cross_validate(cohort, images_only(volume, dealt), repeats=1)[0]
        found.append(metrics.auc(p[truth.primary], dealt.stages[truth.primary]))
    return float(np.mean(found))


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


def rivals(cohort: Cohort, volume: Doubles) -> dict[str, Doubles]:
    """Held-out probabilities of everything the released recipe is compared with."""
    truth = cohort.truth
    nwbv = np.nan_to_num(truth.nwbv, nan=float(np.nanmean(truth.nwbv)))[:, None]
    mmse = np.nan_to_num(truth.mmse, nan=float(np.nanmean(truth.mmse)))[:, None]
    return {
        "images + covariates": cross_validate(cohort, with_covariates(volume, cohort)),
        "MMSE alone": cross_validate(cohort, logistic(mmse, truth)),
        "nWBV alone": cross_validate(cohort, logistic(nwbv, truth)),
        "features + logistic": cross_validate(cohort, logistic(volume, truth, strength=1e-4)),
        "majority": cross_validate(cohort, majority(truth), repeats=1),
    }


@dataclass(frozen=True)
class Report:
    """What was promised and whether it holds; the figures as data; p(CDR > 0) and truth at age >= 60."""

    checks: list[Check]
    figures: dict[str, object]
    sick: Doubles
    truth: Labels


def report(cohort: Cohort, volume: Doubles) -> Report:
    """Print every table. volume: (n, k) int8 volume features."""
    old = np.flatnonzero(cohort.truth.primary)
    stages = cohort.truth.stages[old]
    images = cross_validate(cohort, images_only(volume, cohort.truth))
    figures = print_images(cohort, images)
    found = {"images": images, **rivals(cohort, volume)}
    aucs = {name: metrics.estimate(metrics.auc, p[:, old], stages) for name, p in found.items()}
    for name, value in aucs.items():
        sys.stdout.write(f"  {name:20s} AUC {value}\n")
    alarm = random_label_alarm(volume, cohort)
    figures |= {"rivals": {name: asdict(value) for name, value in aucs.items()}, "random_labels": alarm}
    best, joint = aucs["images"].value, aucs["images + covariates"].value
    checks = [
        Check(f"images AUC {best:.3f} >= {IMAGES_TARGET}", best >= IMAGES_TARGET),
        Check(f"images + covariates AUC {joint:.3f} >= {CLINICAL_TARGET}", joint >= CLINICAL_TARGET),
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
    """Promises about int8 against its float twin."""
    found = measure(cohort, weights, RELEASE)
    return [
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
    features = cohort_features(network, cohort, key=f"int8 {file_digest(RELEASE / NETWORK)}")
    sys.stdout.write(f"model {model_digest()}\n")
    volume = Pooling.load(RELEASE / POOLING).volume_features(features).astype(np.float64)
    found = report(cohort, volume)
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
