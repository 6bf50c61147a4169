"""`hippocamp-admin audit ...` for operators: check the audit log."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.group()
def audit() -> None:
    """The audit log (for operators: reads the file itself)."""


@audit.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--head", default="", help="A hash noted earlier, which must still be in the log.")
@click.option("--after", default="", help="The last hash of parts that were moved away.")
def verify(file: Path, head: str, after: str) -> None:
    """Walk the chain of hashes, the log's parts first; status 1 names the first line that breaks it."""
    from runtime.audit import main

    given = {"--head": head, "--after": after}
    options = [part for name, value in given.items() if value for part in (name, value)]
    sys.exit(main(["verify", str(file), *options]))


@audit.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def fhir(file: Path) -> None:
    """Every event as a FHIR R4 AuditEvent, one JSON object a line."""
    from operators.audit_fhir import to_fhir_json
    from runtime.audit import read

    for event in read(file):
        click.echo(to_fhir_json(event))
