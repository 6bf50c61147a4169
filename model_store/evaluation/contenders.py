"""Ways to answer that cross-validation compares: the released recipe, baselines, and an alarm for leakage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_store.evaluation import metrics
from model_store.served.pooling import Pooling, softmax
from model_store.training.clinical import fit_clinical, signs
from model_store.training.cohort import Cohort
from model_store.training.head import Doubles, Labels, Truth, fit_head, left_out_severity
from model_store.training.selection import Candidate

REPEATS = 6
Fit = Callable[[Labels, Labels], Doubles]
"""(training rows, held-out rows) -> (held-out, 3) probabilities."""
Choose = Callable[[Labels], Candidate]


def cross_validate(cohort: Cohort, fit: Fit, *, repeats: int = REPEATS) -> Doubles:
    """(repeats, n, 3) probabilities, each subject's by a fit that did not see it."""
    found = np.empty((repeats, len(cohort.subjects), 3))
    for repeat in range(repeats):
        for train, held in cohort.folds(5, 1000 + repeat):
            found[repeat, held] = fit(train, held)
    return found


def images_only(candidate: Candidate, truth: Truth) -> Fit:
    """A head by the candidate's recipe."""
    volume, strength = candidate.volume, candidate.recipe.strength

    def fit(train: Labels, held: Labels) -> Doubles:
        logits = fit_head(volume[train], truth.rows(train), strength=strength).logits(volume[held])
        return np.asarray(softmax(logits), dtype=np.float64)

    return fit


def with_covariates(candidate: Candidate, cohort: Cohort) -> Fit:
    """The clinical head beside the image; its image severities in training are left-out ones."""
    known, truth = signs(cohort.table), cohort.truth
    volume, strength = candidate.volume, candidate.recipe.strength

    def fit(train: Labels, held: Labels) -> Doubles:
        head = fit_head(volume[train], truth.rows(train), strength=strength)
        seen = left_out_severity(volume[train], truth.rows(train), strength=strength)
        lines = fit_clinical(seen, known[train], truth.rows(train))
        pooling = Pooling({**lines, "direction": head.direction, "offset": np.array(head.offset)})
        found = pooling.clinical(volume[held].astype(np.float32), known[held].astype(np.float32))
        alone = softmax(head.logits(volume[held]))
        return np.where(np.isfinite(found), found, alone).astype(np.float64)

    return fit


def nested(choose: Choose, make: Callable[[Candidate], Fit]) -> Fit:
    """What `make` makes of the recipe that the training rows choose, each fold for itself."""

    def fit(train: Labels, held: Labels) -> Doubles:
        return make(choose(train))(train, held)

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


def random_label_alarm(candidate: Candidate, cohort: Cohort, *, rounds: int = 10) -> float:
    """Mean AUC, age >= 60, with labels dealt to other subjects of the same age group; chance is 0.5."""
    truth = cohort.truth
    found = []
    for seed in range(rounds):
        order = np.arange(len(truth.stages))
        for group in (truth.primary, ~truth.primary):
            order[group] = np.random.default_rng(seed).permutation(order[group])
        dealt = truth.rows(order)
        p = cross_validate(cohort, images_only(candidate, dealt), repeats=1)[0]
        found.append(metrics.auc(p[truth.primary], dealt.stages[truth.primary]))
    return float(np.mean(found))
