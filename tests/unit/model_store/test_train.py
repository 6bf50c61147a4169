"""The training command, run for real on a few synthetic heads; killed and gone on with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from model_store.train import BEST, CHECKPOINT, main
from model_store.training.augmentation import augment
from model_store.training.backbone import random_backbone
from model_store.training.volumes import BadTableError, Heads, read_table, stage_of

SMALL = ["--random", "--device", "cpu", "--train-from", "layer4", "--slices", "2", "--stretch", "4",
         "--subjects", "5", "--validation", "0.34", "--precision", "float32", "--patience", "9"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, template_slices: npt.NDArray[np.uint8]) -> Path:
    """15 subjects of three stages; fluid grows with the stage."""
    folder = tmp_path_factory.mktemp("heads")
    lines = ["subject,cdr"]
    for number in range(15):
        stage = number % 3
        lines.append(f"s{number},{(0, 0.5, 1)[stage]}")
        slices = folder / "slices" / f"s{number}"
        slices.mkdir(parents=True)
        for index, one in enumerate(template_slices):
            picture = one.copy()
            picture[90 : 100 + 20 * stage, 70:106] //= 4
            Image.fromarray(picture).save(slices / f"{index + 1:02d}.jpg")
    (folder / "subjects.csv").write_text("\n".join(lines) + "\n")
    return folder


def train(folder: Path, run: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "model_store.train",
        "--data",
        str(folder),
        "--run",
        str(run),
        *SMALL,
        *more,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_is_whole_and_goes_on_after_a_kill(folder: Path, tmp_path: Path) -> None:
    done = train(folder, tmp_path / "run", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert json.loads((run / "config.json").read_text())["plan"]["seed"] == 0
    history = json.loads((run / "history.json").read_text())
    assert [one["epoch"] for one in history] == [1, 2]
    assert json.loads((run / "metrics.json").read_text())["validation"] == 5
    with Image.open(run / "curves.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5
    best = torch.load(run / BEST, weights_only=True)
    names = {name for name in random_backbone().state_dict() if not name.endswith("num_batches_tracked")}
    assert names <= best.keys()

    state = torch.load(run / CHECKPOINT, weights_only=True)
    state["epoch"], state["history"] = 1, state["history"][:1]  # as a kill in the second epoch leaves it
    torch.save(state, run / CHECKPOINT)
    again = train(folder, run, "--epochs", "2")
    assert again.returncode == 0, again.stderr
    assert "goes on after epoch 1" in again.stderr
    assert [one["epoch"] for one in json.loads((run / "history.json").read_text())] == [1, 2]
    other = train(folder, run, "--epochs", "2", "--seed", "1")
    assert other.returncode != 0
    assert "another seed" in other.stderr


def test_figures_are_json_when_all_validation_subjects_are_on_one_side(
    tmp_path: Path, template_slices: npt.NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        slices = tmp_path / "data" / "slices" / f"s{number}"
        slices.mkdir(parents=True)
        for index, one in enumerate(template_slices):
            Image.fromarray(one).save(slices / f"{index + 1:02d}.jpg")
    lines = ["subject,cdr", *(f"s{number},0" for number in range(4))]
    (tmp_path / "data" / "subjects.csv").write_text("\n".join(lines) + "\n")
    run = tmp_path / "run"
    quick = [*SMALL, "--train-from", "head", "--validation", "0.5", "--stretch", "8", "--epochs", "1"]
    main(["--data", str(tmp_path / "data"), "--run", str(run), *quick])
    assert "validation_auc is null: all 2 validation subjects have CDR 0" in capsys.readouterr().err

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    best = json.loads((run / "metrics.json").read_text(), parse_constant=refuse)["best"]
    assert best["validation_auc"] is None
    assert best["validation_loss"] >= 0
    assert json.loads((run / "history.json").read_text(), parse_constant=refuse) == [best]


def test_no_subject_is_on_both_sides() -> None:
    groups = np.repeat(np.arange(20), 3)
    heads = Heads([], np.zeros((60, 1, 1, 1), np.uint8), np.repeat(np.arange(20) % 3, 3), groups)
    train_rows, held = heads.split(0.2, 0)
    assert not set(groups[train_rows]) & set(groups[held])
    assert set(heads.stages[held]) == {0, 1, 2}


def test_augmentation_keeps_head_and_background(template_slices: npt.NDArray[np.uint8]) -> None:
    heads = torch.from_numpy(template_slices[None, ::8]).float().repeat(3, 1, 1, 1)
    changed = augment(heads, torch.Generator().manual_seed(1))
    assert changed.shape == heads.shape
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert (changed[:, :, :4] == 0).all()
    overlap = ((changed > 0) & ((heads > 0) | (heads.flip(-1) > 0))).sum() / (changed > 0).sum()
    assert overlap > 0.85
    assert not torch.equal(changed[0], changed[1])
    assert torch.equal(changed, augment(heads, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    ("label", "stage"),
    [("0", 0), ("0.5", 1), ("2", 2), ("CDR 0.5", 1), (">=1", 2), ("Very Mild Demented", 1)],
)
def test_labels_are_read_as_people_write_them(label: str, stage: int) -> None:
    assert stage_of(label) == stage


@pytest.mark.parametrize("table", ["a\tb\n1\t2\n", "participant_id\tpath\tcdr\nx\tgone.nii\t0\n",
                                   "participant\tpath\tlabel\nx\tthere.nii\tsick\n"])  # fmt: skip
def test_a_bad_table_says_what_is_wrong(table: str, tmp_path: Path) -> None:
    (tmp_path / "there.nii").touch()
    (tmp_path / "participants.tsv").write_text(table)
    with pytest.raises(BadTableError, match=r"needs a column|not there|no stage"):
        read_table(tmp_path, tmp_path / "participants.tsv")
