"""`hippocamp-admin doctor`: check a system from the outside, and say what to fix."""

from __future__ import annotations

import os
import sys
from itertools import chain

import click
from rich.console import Console
from rich.table import Table

from client.connection import Connection
from client.context import Session, put_json
from client.exit_codes import Exit
from operators.commands.top import read_exporter
from operators.doctor.canary_checks import canary_checks
from operators.doctor.checks import Finding, Verdict, service_checks
from operators.doctor.metric_checks import figure_checks
from operators.doctor.place_checks import place_checks
from operators.doctor.prometheus_checks import prometheus_checks
from operators.doctor.redis_checks import redis_checks
from operators.doctor.setting_checks import setting_checks
from operators.doctor.tls_checks import tls_checks

_STYLE = {Verdict.GOOD: "green", Verdict.ODD: "yellow", Verdict.BAD: "bold red", Verdict.SKIPPED: "dim"}


@click.command()
@click.option("--exporter", default="", help="Address of the exporter's figures (operators).")
@click.option(
    "--redis", "address", envvar="HIPPOCAMP_REDIS_URL", default="",
    help="Address of the job store (operators): asks it and the workers directly.",
)  # fmt: skip
@click.option(
    "--prometheus", envvar="HIPPOCAMP_PROMETHEUS_URL", default="",
    help="Address of Prometheus (operators): what it cannot scrape, and which alerts fire.",
)  # fmt: skip
@click.option("--submit/--no-submit", "submits", default=True, help="Send a small scan with the key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a check.")
@click.pass_obj
def doctor(session: Session, /, *, submits: bool, as_json: bool, **places: str) -> None:
    """Check address, key, clock, settings, every dependency, workers, line and Redis; submit a small scan.

    Says what to fix; status 10 when something is bad.
    """
    exporter, address, prometheus = (places[name] for name in ("exporter", "address", "prometheus"))
    connection = Connection(session.url, session.key, min(15.0, session.timeout_seconds))
    checks = [
        service_checks(connection),
        tls_checks(connection.address, address),
        setting_checks(),
        place_checks(),
    ]
    named = bool(exporter or os.environ.get("HIPPOCAMP_EXPORTER_URL"))
    checks.append(figure_checks(lambda: read_exporter(exporter), named=named))
    if address:
        checks.append(redis_checks(address))
    if submits:
        checks.append(canary_checks(connection))
    if prometheus:
        checks.append(prometheus_checks(prometheus))
    found = list(chain.from_iterable(checks))
    if as_json:
        for one in found:
            put_json({"check": one.what, "verdict": one.verdict, "found": one.found, "advice": one.advice})
    else:
        Console().print(_table(found))
        click.echo(_verdict(found))
    sys.exit(Exit.UNHEALTHY if any(one.verdict is Verdict.BAD for one in found) else Exit.OK)


def _verdict(found: list[Finding]) -> str:
    bad = sum(one.verdict is Verdict.BAD for one in found)
    odd = sum(one.verdict is Verdict.ODD for one in found)
    if not bad and not odd:
        return f"{len(found)} checks, nothing to do"
    return f"{len(found)} checks: {bad} bad, {odd} to look at"


def _table(found: list[Finding]) -> Table:
    table = Table("", "check", "found", "what to do", box=None)
    for one in found:
        table.add_row(one.verdict, one.what, one.found, one.advice, style=_STYLE[one.verdict])
    return table
