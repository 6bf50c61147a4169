"""Real inputs on which the product was wrong, with their right answers; they are not in the repository."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import HippocampError
from tests.inputs.conftest import Row
from tests.inputs.test_inputs import opened, stored, told

pytestmark = [
    pytest.mark.inputs,
    pytest.mark.skipif(
        "HIPPOCAMP_DATA" not in os.environ, reason="HIPPOCAMP_DATA names no folder with cases/ in it"
    ),
]

CASES = {
    "sag_t1_plain.zip": "read",
    "t1_with_sr.zip": "read not_mr",
    "t1_with_secondary_capture.zip": "read not_mr",
    "no_preamble_implicit.zip": "read",
    "overlay_in_bit12.zip": "read",
    "magnitude_and_phase.zip": "read complex_part",
    "two_patients.zip": "input.several_studies",
}


@pytest.mark.parametrize("name", CASES)
def test_the_case_has_its_right_answer(name: str, tmp_path: Path, rows: list[Row]) -> None:
    folder = Path(os.environ["HIPPOCAMP_DATA"]) / "cases"
    if not (folder / name).exists():
        pytest.skip(f"{folder} has no {name}")
    try:
        volume = opened(tmp_path, stored((folder / name).read_bytes()))
        found = f"read {told(volume)}".strip()
        wanted = opened(tmp_path, stored((folder / "sag_t1_plain.zip").read_bytes()))
        assert np.array_equal(volume.voxels, wanted.voxels)
    except HippocampError as error:
        found = error.code
    rows.append((name, CASES[name], found))
    assert found == CASES[name]
