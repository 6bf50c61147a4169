"""The command writes what a person or a script needs, and says when a volume is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from contracts.stack import Stack
from preprocessing_service.__main__ import main
from tests.support.volumes import nifti_bytes, template_brain, written


def test_everything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([str(written(tmp_path, nifti_bytes(template_brain()))), "-o", str(out)]) == 0
    stack = Stack.from_bytes((out / "stack.npz").read_bytes())
    slices: Any = nibabel.load(out / "slices.nii.gz")
    assert np.array_equal(np.asanyarray(slices.dataobj), stack.slices.transpose(2, 1, 0))
    assert np.allclose(slices.affine, stack.grid_to_world, atol=1e-4)
    assert np.loadtxt(out / "affine.txt").shape == (4, 4)
    assert json.loads((out / "quality.json").read_text())["quality"] == stack.quality
    assert {file.stem for file in out.glob("*.png")} == {"slices", "brain", "template", "sheet"}


def test_a_refusal_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(written(tmp_path, b"")), "-o", str(tmp_path / "out")]) == 1
    assert "input.empty" in capsys.readouterr().err
