"""The gate's bench: what counts as missed, how thresholds are derived, and what is not measured twice."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from bench import gate_rows
from bench.drawn_heads import OTHERS, T1, Recipe, drawn
from bench.gate import counts, targets
from bench.gate_rows import Row, rows
from bench.gate_scans import Scan, scans
from bench.gate_thresholds import QUESTIONS, answers, first_half, table
from preprocessing_service import pipeline_digest
from preprocessing_service.volume import Volume


def row(contrast: str, code: str, ratio: float = 1.3, subject: str = "a", uncertain: float = 0.0) -> Row:
    figures = {question.measure: 0.1 for question in QUESTIONS}
    figures |= {"overlap": 0.95, "white_grey_ratio": ratio, "contrast_uncertain": uncertain}
    return Row(f"{subject} {contrast} {ratio}", subject, contrast, "real", code, figures)


def test_a_refused_t1_head_is_a_missed_target() -> None:
    assert targets([row("T1", "ok"), row("FLAIR", "quality.not_t1w")]) == []
    assert targets([row("T1", "quality.registration")])[0].startswith("T1 heads refused: a T1")


def test_another_contrast_may_pass_only_rarely_and_marked() -> None:
    refused = [row("FLAIR", "quality.not_t1w")] * 19
    assert targets([*refused, row("FLAIR", "ok", uncertain=1.0)]) == []
    assert targets([*refused, row("FLAIR", "ok")])[0].startswith("called T1 with certainty")
    assert "2 of 20" in targets([*refused[:18], *[row("FLAIR", "ok", uncertain=1.0)] * 2])[0]


def test_a_threshold_is_chosen_on_one_half_and_tried_on_the_other() -> None:
    names = [f"subject {n}" for n in range(40)]
    found = [row("T1", "ok", 1.2 if first_half(name) else 1.05, name) for name in names]
    found += [row("FLAIR", "ok", 1.0, name) for name in names]
    (answer,) = answers(found)
    assert answer.derived == pytest.approx(1.1)
    assert answer.area == 1.0
    assert answer.passed(answer.tried_on[0], answer.derived) == 0.0  # only the other half lies below
    assert "| `white_grey_ratio` | 1.050 to 1.200 | FLAIR" in table([answer])
    assert "| FLAIR | real | 40 | 40 | 0 | - |" in counts(found)


def test_kept_rows_of_this_pipeline_are_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, made = tmp_path / "rows", []

    def make() -> Volume:
        made.append(1)
        return Volume(np.zeros((20, 20, 20), np.int16), np.eye(4))

    monkeypatch.setattr(gate_rows, "scans", lambda **_: [Scan("empty", "a", "no head", "drawn", make)])
    first, second = (list(rows(file, quick=True)) for _ in range(2))
    assert first == second
    assert first[0].code == "quality.not_a_head"
    assert len(made) == 1
    file.write_text(json.dumps(asdict(first[0])).replace(pipeline_digest(), "0" * 64) + "\n")
    list(rows(file, quick=True))
    assert len(made) == 2


def test_missing_data_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIPPOCAMP_DATA", raising=False)
    with pytest.raises(SystemExit, match="HIPPOCAMP_DATA"):
        next(scans(quick=True))


def test_a_drawing_has_the_levels_of_its_recipe() -> None:
    labels = np.zeros((40, 40, 40), np.int16)
    labels[5:35, 5:35, 5:35] = 24
    labels[10:30, 10:30, 10:30] = 3
    labels[15:25, 15:25, 15:25] = 2
    for contrast in (T1, *OTHERS):
        seen = drawn(labels, np.eye(4), Recipe(contrast, (1.0, 1.0, 1.0), noise=0.0, bias=0.0)).voxels
        fluid, grey, white = (float(np.median(seen[at, 20, 20])) for at in ([7, 8], [12, 13], [19, 20]))
        if contrast.blur < 3:
            assert (white > grey) == (contrast.levels["grey"] < 1), contrast.name
            assert (white > fluid) == (contrast.levels["fluid"] < 1), contrast.name
