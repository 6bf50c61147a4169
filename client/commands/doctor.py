"""`hippocamp doctor`: check a system from the outside, and say what to fix."""

from __future__ import annotations

import sys
from itertools import chain

import click
from rich.console import Console
from rich.table import Table

from client.checks import Finding, Verdict, figure_checks, service_checks
from client.commands.top import read_exporter
from client.connection import Connection
from client.context import Session, put_json
from client.exit_codes import Exit

_STYLE = {Verdict.GOOD: "green", Verdict.ODD: "yellow", Verdict.BAD: "bold red", Verdict.SKIPPED: "dim"}


@click.command()
@click.option("--exporter", default="", help="Address of the exporter's figures (operators).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a check.")
@click.pass_obj
def doctor(session: Session, *, exporter: str, as_json: bool) -> None:
    """Check address, key, clock, every dependency, workers, line and Redis; status 10 when one is bad."""
    connection = Connection(session.url, session.key, min(15.0, session.timeout_seconds))
    found = list(chain(service_checks(connection), figure_checks(lambda: read_exporter(exporter))))
    if as_json:
        for one in found:
            put_json({"check": one.what, "verdict": one.verdict, "found": one.found, "advice": one.advice})
    else:
        Console().print(_table(found))
    sys.exit(Exit.UNHEALTHY if any(one.verdict is Verdict.BAD for one in found) else Exit.OK)


def _table(found: list[Finding]) -> Table:
    table = Table("", "check", "found", "what to do", box=None)
    for one in found:
        table.add_row(one.verdict, one.what, one.found, one.advice, style=_STYLE[one.verdict])
    return table
