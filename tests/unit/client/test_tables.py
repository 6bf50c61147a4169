"""Tables in and out, the journal between runs, and the figures of a metrics page."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from client.journal import BatchRuns, Journal
from client.tables import Row, read_table, write_table
from operators.exposition import parse


def test_csv_and_tsv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("subject,Path\ns1,x.nii\ns2,/data/y.nii\n,\n", encoding="utf-8-sig")
    (tmp_path / "a.tsv").write_text("file\tnote\nx.nii\ta,b\n")
    rows = read_table(tmp_path / "a.csv")
    assert [row.path for row in rows] == [tmp_path / "x.nii", Path("/data/y.nii")]
    assert rows[0].cells["subject"] == "s1"
    assert read_table(tmp_path / "a.tsv")[0].cells["note"] == "a,b"


def test_tables_as_european_spreadsheets_save_them(tmp_path: Path) -> None:
    text = "Größe;volume;age\n1,80;Köln/a.nii;71,5\n"
    for encoding in ("utf-8", "utf-8-sig", "cp1252"):
        (tmp_path / "a.csv").write_bytes(text.encode(encoding))
        (row,) = read_table(tmp_path / "a.csv")
        assert row.path == tmp_path / "Köln" / "a.nii"
        assert row.cells["Größe"] == "1,80"
        assert row.covariates == {"age": 71.5}


def test_a_table_of_one_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path\nx.nii\n")
    assert [row.path for row in read_table(tmp_path / "a.csv")] == [tmp_path / "x.nii"]


def test_covariates_are_what_the_cells_say() -> None:
    cells = {"Age": " 71.5 ", "sex": "F", "education": "", "mmse": "27", "site": "north"}
    assert Row(Path("x"), cells).covariates == {"age": 71.5, "sex": "F", "mmse": 27}
    assert Row(Path("x"), {"mmse": "n/a"}).covariates == {}
    with pytest.raises(ValueError, match=r"x\.nii: .*'old'; nothing was sent"):
        _ = Row(Path("x.nii"), {"age": "old"}).covariates


def test_a_table_without_paths(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("subject,age\ns1,70\n")
    with pytest.raises(ValueError, match="one must be called path"):
        read_table(tmp_path / "a.csv")


def test_answers_stand_beside_the_rows(tmp_path: Path) -> None:
    rows = [Row(Path("x"), {"path": "x", "age": "70"}), Row(Path("y"), {"path": "y", "age": "71"})]
    write_table(
        tmp_path / "out.csv",
        zip(rows, [{"state": "succeeded", "cdr": ">=1"}, {"state": "failed"}], strict=True),
    )
    with (tmp_path / "out.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["age"], first["cdr"], second["state"], second["cdr"]) == ("70", ">=1", "failed", "")


def test_a_torn_line_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.hashed("stamp", "d0")
        journal.sent("d1", "job_1")
        journal.ended("d1", {"state": "succeeded"})
        journal.sent("d2", "job_2")
    path.write_bytes(path.read_bytes()[:-7])
    with Journal(path) as journal:
        assert journal.jobs == {"d1": "job_1"}
        assert journal.answers == {"d1": {"state": "succeeded"}}
        assert journal.digests == {"stamp": "d0"}
        journal.sent("d2", "job_3")
    with Journal(path) as journal:
        assert journal.jobs["d2"] == "job_3"


def test_one_process_a_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(BatchRuns):
        Journal(tmp_path / "j")


def test_figures_of_a_real_exposition() -> None:
    registry = CollectorRegistry()
    waiting = Gauge("waiting", "w", ["site", "stage"], registry=registry)
    waiting.labels('a "quoted" site', "infer").set(3)
    waiting.labels("b", "infer").set(4)
    waiting.labels("b", "deliver").set(float("inf"))
    Counter("done", "d", registry=registry).inc(2.5)
    figures = parse(generate_latest(registry).decode())
    assert figures.total("waiting", stage="infer") == 7
    assert figures.total("done_total") == 2.5
    assert figures.total("nothing") == 0
    assert figures.values("waiting", "stage") == ["deliver", "infer"]
    assert len(figures.values("waiting", "site")) == 2
