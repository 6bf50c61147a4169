"""Each threshold of the gate from the scans it must tell apart: one half of the subjects chooses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.gate_rows import Row
from preprocessing_service.steps import rules

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """A measure of T1 heads, the contrasts that it must tell from them, and the threshold in service.

    above: T1 heads lie above the threshold.
    """

    measure: str
    others: tuple[str, ...]
    in_service: float
    above: bool


QUESTIONS = (
    Question("white_grey_ratio", ("FLAIR", "FLAIR, flat", "DWI", "PET"), rules.LEAST_RATIO, above=True),
    Question(
        "fluid_white_ratio",
        ("T2", "PD", "EPI", "CT", "ADC", "T2*", "inverted"),
        rules.MOST_FLUID,
        above=False,
    ),
    Question(
        "ventricle_white_ratio",
        ("T2", "PD", "EPI", "CT", "ADC", "T2*", "inverted"),
        rules.MOST_VENTRICLES,
        above=False,
    ),
    Question("white_dark_ratio", ("FA",), rules.MOST_RATIO, above=False),
    Question("same_neighbours", ("label map",), 0.5, above=False),
    Question("overlap", ("no head",), rules.LEAST_OVERLAP, above=True),
)


@dataclass(frozen=True)
class Answer:
    """derived: the middle between the nearest of the first half. chosen_on, tried_on: T1 heads and others."""

    question: Question
    derived: float
    chosen_on: tuple[Values, Values]
    tried_on: tuple[Values, Values]

    @property
    def area(self) -> float:
        """Under the ROC curve of all scans."""
        wanted, others = (np.concatenate(pair) for pair in zip(self.chosen_on, self.tried_on, strict=True))
        side = 1 if self.question.above else -1
        higher = side * wanted[:, None] > side * others[None, :]
        return float(np.mean(higher + 0.5 * (wanted[:, None] == others[None, :])))

    def passed(self, values: Values, threshold: float) -> float:
        """Share of values on the T1 side of a threshold."""
        return float(np.mean(values >= threshold if self.question.above else values <= threshold))


def first_half(subject: str) -> bool:
    """By the subject's digest, so that all scans of one head lie on one side."""
    return hashlib.sha256(subject.encode()).digest()[0] % 2 == 0


def answers(found: list[Row]) -> list[Answer]:
    """One a question that has scans of both kinds in both halves."""
    out = []
    for question in QUESTIONS:
        halves = [
            (
                _values(found, question, "T1", first=first),
                _values(found, question, *question.others, first=first),
            )
            for first in (True, False)
        ]
        if all(part.size for half in halves for part in half):
            out.append(Answer(question, _middle(question, *halves[0]), halves[0], halves[1]))
    return out


def _values(found: list[Row], question: Question, *contrasts: str, first: bool) -> Values:
    return np.array([
        row.figures[question.measure]
        for row in found
        if row.contrast in contrasts and first_half(row.subject) == first and _reached(row, question)
    ])  # fmt: skip


def _reached(row: Row, question: Question) -> bool:
    """Whether the rule is asked: a brain was found, and fits, unless that is the question."""
    fits = row.figures.get("overlap", 0.0) >= rules.LEAST_OVERLAP
    return bool(row.figures) and (fits or question.measure in ("overlap", "same_neighbours"))


def _middle(question: Question, wanted: Values, others: Values) -> float:
    return (
        float(wanted.min() + others.max()) / 2 if question.above else float(wanted.max() + others.min()) / 2
    )


def table(found: list[Answer]) -> str:
    """Markdown: every threshold, where it comes from, and the half that it was not chosen on."""
    lines = [
        "| measure | T1 scans, all | told apart from | theirs | derived | in service | ROC area "
        "| other half: T1 passed | others passed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for answer in found:
        question = answer.question
        wanted, others = (
            np.concatenate(pair) for pair in zip(answer.chosen_on, answer.tried_on, strict=True)
        )
        cut = question.in_service
        shares = [f"{answer.passed(values, cut):.1%} of {values.size}" for values in answer.tried_on]
        cells = [
            f"`{question.measure}`",
            f"{wanted.min():.3f} to {wanted.max():.3f}",
            ", ".join(question.others),
            f"{others.min():.3f} to {others.max():.3f}",
            f"{answer.derived:.3f}",
            f"{'≥' if question.above else '≤'} {cut:g}",
            f"{answer.area:.4f}",
            *shares,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: list[Answer], path: Path) -> None:
    """One ROC curve a threshold, with the point in service."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(found), 3.2), layout="constrained")
    for axes, answer in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        wanted, others = (
            np.concatenate(pair) for pair in zip(answer.chosen_on, answer.tried_on, strict=True)
        )
        cuts = np.unique(np.concatenate([wanted, others, [-10.0, 10.0]]))
        axes.plot([answer.passed(others, cut) for cut in cuts], [answer.passed(wanted, cut) for cut in cuts])
        point = [answer.passed(values, answer.question.in_service) for values in (others, wanted)]
        axes.plot(*([value] for value in point), "o")
        axes.set(
            title=answer.question.measure,
            xlabel="others passed",
            ylabel="T1 passed",
            xlim=(-0.02, 1),
            ylim=(0, 1.02),
        )
        axes.title.set_fontsize(9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
