"""`hippocamp batch`: every volume of a table, once, with progress; killed and started again it goes on."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from client.batches import Answer, run_batch
from client.commands.submit import PRIORITIES
from client.context import Session, console
from client.exit_codes import Exit
from client.journal import Journal
from client.tables import Row, read_table, write_table


class Options(TypedDict):
    """What the command line may say."""

    out: Path | None
    uploads: int
    priority: str
    again: str
    covariates: bool


@click.command()
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: TABLE.results.csv.")
@click.option(
    "--uploads", default=4, show_default=True, type=click.IntRange(1, 32), help="Volumes sent at once."
)
@click.option("--priority", type=PRIORITIES, default="bulk", show_default=True)
@click.option("--again", default="", metavar="NAME", help="Score all once more, in a journal of its own.")
@click.option("--covariates", is_flag=True, help="Send the columns age, sex, education and mmse along.")
@click.pass_obj
def batch(session: Session, /, table: Path, **options: Unpack[Options]) -> None:
    """Score the volumes of TABLE (.csv or .tsv with a column path, file or volume).

    TABLE.journal keeps what was done: run the same command again after any interruption, nothing is sent
    twice. Folders of DICOM slices may stand in the column too.
    """
    rows = read_table(table)
    if options["covariates"]:
        for row in rows:
            _ = row.covariates  # a cell that is no number ends it before anything is sent
    mark = f".{options['again']}" if options["again"] else ""
    with Journal(table.with_name(f"{table.name}{mark}.journal")) as journal, _bars(len(rows)) as watcher:
        answers = run_batch(
            session.async_client,
            rows,
            journal=journal,
            watcher=watcher,
            uploads=options["uploads"],
            priority=options["priority"],
            again=options["again"],
            covariates=options["covariates"],
        )
    target = options["out"] or table.with_name(f"{table.name}{mark}.results.csv")
    write_table(target, zip(rows, answers, strict=True))
    states = Counter(str(answer["state"]) for answer in answers)
    click.echo(f"{target}  " + ", ".join(f"{count} {state}" for state, count in states.most_common()))
    sys.exit(Exit.OK if set(states) <= {"succeeded"} else Exit.SOME_FAILED)


@dataclass
class _Bars:
    """Two bars: sent and ended."""

    progress: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def __enter__(self) -> _Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def sent(self, row: Row) -> None:  # noqa: ARG002  a Watcher is told
        """A volume is with the service."""
        self.progress.advance(self.tasks["sent"])

    def ended(self, row: Row, answer: Answer) -> None:
        """A volume has its answer."""
        self.progress.advance(self.tasks["ended"])
        if answer["state"] != "succeeded":
            why = f"{answer.get('error_code', '')} {answer.get('error_detail', '')}".strip()
            self.progress.console.print(f"{row.path.name}: {answer['state']} {why}", markup=False)


def _bars(total: int) -> _Bars:
    columns = (TextColumn("{task.description:6}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console())
    return _Bars(progress, {name: progress.add_task(name, total=total) for name in ("sent", "ended")})
