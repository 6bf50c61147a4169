"""The model card: one source, the same in the release, in the archive and for people."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

from model_store.release.archive import build_archive
from model_store.release.card import MARKDOWN, read_card, with_figures, write_card
from model_store.release.digest import RELEASE, file_digest
from model_store.served.shapes import CARD

ESTIMATE = {"value": 0.81234, "low": 0.7, "high": 0.9}


def test_the_markdown_in_the_release_is_made_of_the_data(tmp_path: Path) -> None:
    write_card(read_card(), tmp_path)
    for name in (CARD, MARKDOWN):
        assert (tmp_path / name).read_text() == (RELEASE / name).read_text(), (
            "run python -m model_store.release.card"
        )


def test_it_says_what_a_card_must(tmp_path: Path) -> None:
    card = read_card()
    assert "Not for diagnosis" in card.notice
    assert card.intended_use
    assert card.not_for
    assert card.failures
    assert card.confounds
    assert {one.answer for one in card.figures} == {"images", "images and covariates", "comparison"}
    assert all(one.low is not None and one.low <= one.value <= (one.high or 0) for one in card.figures)
    by_name = {one.name: one.subjects for one in card.cohorts}
    assert all(sum(one.stages.values()) == one.subjects for one in card.cohorts)
    assert by_name["age >= 60"] == next(one.subjects for one in card.figures if one.cohort == "age >= 60")


def test_a_new_evaluation_takes_the_place_of_the_old_figures() -> None:
    group = {"subjects": 130, **ESTIMATE}
    names = ("balanced_accuracy", "kappa", "calibration_error")
    rivals = ("images", "images + covariates", "MMSE alone", "nWBV alone")
    found = {
        "auc": {"age >= 60": group, "all ages": group | {"subjects": 150}},
        **dict.fromkeys(names, ESTIMATE),
        "rivals": dict.fromkeys(rivals, ESTIMATE),
    }
    card = with_figures(read_card(), json.loads(json.dumps(found)))
    assert [(one.cohort, one.subjects) for one in card.figures[:3]] == [
        ("age >= 60", 130), ("all ages", 150), ("age >= 60", 130)
    ]  # fmt: skip
    assert {one.text for one in card.figures} == {"0.812 [0.700, 0.900]"}


def test_the_archive_carries_it_and_is_the_same_every_time(tmp_path: Path) -> None:
    one, other = (build_archive(tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    named = f"{file_digest(one)}  hippocamp.mar\n"
    assert one.with_name("hippocamp.mar.sha256").read_text() == named
    with ZipFile(one) as archive:
        assert archive.read(CARD) == (RELEASE / CARD).read_bytes()
        assert {name.split("/")[0] for name in archive.namelist()} == {
            *(path.name for path in RELEASE.iterdir()), "served", "serving.yaml", "MAR-INF"
        }  # fmt: skip
