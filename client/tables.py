"""The tables of a batch: volumes named in a CSV or TSV file in, one line of answer a volume out."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from client.submit_options import COVARIATES, SubmitOptions

PATH_COLUMNS = ("path", "file", "volume")
ANSWERS = (
    "job_id", "state", "cdr", "label", "cdr0", "cdr05", "cdr1", "prediction_set", "uncertain",
    "out_of_distribution", "cache", "error_code", "error_detail", "clinical_cdr", "clinical_cdr0",
    "clinical_cdr05", "clinical_cdr1",
)  # fmt: skip
"""Columns that a batch adds to those of its table."""


@dataclass(frozen=True)
class Row:
    """One volume: where it lies, and the line of the table it came from."""

    path: Path
    cells: Mapping[str, str] = field(default_factory=dict)

    @property
    def covariates(self) -> SubmitOptions:
        """Its cells age, sex, education and mmse, those that say something; ValueError for no number."""
        cells = {name.strip().lower(): text.strip() for name, text in self.cells.items()}
        said = {name: cells.get(name, "") for name in COVARIATES}
        found = {name: text for name, text in said.items() if text.lower() not in {"", "n/a", "na", "nan"}}
        try:
            numbers = {name: float(text.replace(",", ".")) for name, text in found.items() if name != "sex"}
        except ValueError as error:
            raise ValueError(f"{self.path.name}: {error}; nothing was sent") from None
        whole = {name: int(value) for name, value in numbers.items() if value == int(value)}
        return cast("SubmitOptions", {**found, **numbers, **whole})


def read_table(table: Path) -> list[Row]:
    """The rows of a table with a header line; ValueError when it has no column of paths.

    Cells are separated by commas, semicolons or tabs, as the header line is; the text is UTF-8, or
    Windows-1252 as older spreadsheets write it. The column is called path, file or volume; relative paths
    start at the table's folder.
    """
    text = _decoded(table.read_bytes())
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max("\t;,", key=head.count))
    names = list(reader.fieldnames or [])
    column = next((name for name in names if name.strip().lower() in PATH_COLUMNS), None)
    if column is None:
        raise ValueError(f"{table} has the columns {names}; one must be called {', '.join(PATH_COLUMNS)}")
    return [_row(cells, column, table.parent) for cells in reader if (cells[column] or "").strip()]


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _row(cells: dict[str | Any, str | Any], column: str, folder: Path) -> Row:
    kept = {str(k): str(v) for k, v in cells.items() if isinstance(k, str) and v is not None}
    return Row(folder / Path(kept[column].strip()).expanduser(), kept)


def write_table(out: Path, rows: Iterable[tuple[Row, Mapping[str, Any]]]) -> None:
    """Each row's own cells and its answer, as CSV; the file appears whole or not at all."""
    listed = list(rows)
    names = list(dict.fromkeys(name for row, _ in listed for name in row.cells))
    part = out.with_name(f".{out.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, *ANSWERS], restval="", extrasaction="ignore")
        writer.writeheader()
        for row, answer in listed:
            writer.writerow({**row.cells, **answer})
        file.flush()
        os.fsync(file.fileno())
    part.replace(out)
