"""The command that scores held-back subjects, run as it is, on folders as they may come."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path, template_slices: npt.NDArray[np.uint8]) -> Path:
    """Three subjects and no label: one whole, one with holes and a broken file, one without slices."""
    for subject, shown in {"whole": range(32), "holes": [*range(4, 15), *range(16, 30)]}.items():
        slices = tmp_path / "slices" / subject
        slices.mkdir(parents=True)
        for index in shown:
            Image.fromarray(template_slices[index]).save(slices / f"{index + 1:02d}.jpg", quality=95)
    (tmp_path / "slices" / "holes" / "16.jpg").write_bytes(b"\xff\xd8 torn")
    (tmp_path / "subjects.csv").write_text("age,subject\n,whole\n70,holes\n,absent\n")
    return tmp_path


def test_every_subject_gets_a_line(folder: Path) -> None:
    out = folder / "scores.csv"
    command = [sys.executable, "-m", "model_store.predict", "--slices", str(folder), "--output", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with out.open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["subject"] for row in rows] == ["whole", "holes", "absent"]
    p = np.array([[float(row[name]) for name in ("p_cdr0", "p_cdr05", "p_cdr1")] for row in rows])
    assert p.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.abs(p[0] - p[1]).max() < 0.15
    assert "holes: 7 of 32 slices missing" in done.stderr
    assert "absent: 32 of 32" in done.stderr
    assert "whole:" not in done.stderr
